"""Deciding a history again: was every decision one that the engine of today would make?"""
