"""The read model of the catalog: datasets, artifacts, entries of the cache and who used them."""
