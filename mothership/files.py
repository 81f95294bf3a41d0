"""Where things lie in the data directory."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataFiles:
    """The files of one data directory."""

    root: Path

    @property
    def ca(self) -> Path:
        """Certificate that everything is trusted by."""
        return self.root / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """Key that signs pools."""
        return self.root / "ca.key"

    def pair(self, name: str) -> tuple[Path, Path]:
        """Return certificate and key of `server`, `broker` or `mqtt-client`."""
        return self.root / f"{name}.crt", self.root / f"{name}.key"

    @property
    def admin_token(self) -> Path:
        """Bearer token of the admin API."""
        return self.root / "admin-token"

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.root / "mothership.db"

    @property
    def lock(self) -> Path:
        """Held while a mothership serves from here."""
        return self.root / "serve.lock"

    @property
    def logs(self) -> Path:
        """One file per attempt."""
        return self.root / "logs"

    @property
    def workspaces(self) -> Path:
        """Encrypted archives between stages."""
        return self.root / "workspaces"
