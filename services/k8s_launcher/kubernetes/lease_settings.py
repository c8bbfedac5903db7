"""Settings of who leads among several launchers: `FLIGHTLOG_KUBERNETES__LEASE__…`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LeaseSettings(BaseModel):
    """One launcher works, the others stand by. The same for all of them."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("flightlog-launcher", min_length=1, description="Name of the Lease object")
    duration_seconds: int = Field(
        15, gt=0, description="How long a lease holds unless it is renewed; then another launcher takes it"
    )
    renew_within_seconds: float = Field(
        10.0, gt=0, description="The leader stops working when it could not renew its lease for so long"
    )
    retry_seconds: float = Field(2.0, gt=0, description="Between renewals, and between a standby's looks at the lease")

    @model_validator(mode="after")
    def _in_order(self) -> LeaseSettings:
        if not self.retry_seconds < self.renew_within_seconds < self.duration_seconds:
            raise ValueError("retry_seconds < renew_within_seconds < duration_seconds is to hold")
        return self
