"""`hf://owner/name`: a data set of the Hugging Face hub, by its Parquet files, with `huggingface_hub`.

`hf://owner/name@revision/config`: revision and configuration may be left out. Files that the hub has as something else than Parquet are
taken from its own conversion (the branch refs/convert/parquet). They stay in the hub's cache, and without a network they are read from it.
Nothing but Parquet files is fetched, and no code of the data set is run.
"""

from __future__ import annotations

import re
from pathlib import Path

from chiasm.config import BuildConfig
from chiasm.errors import ConfigError, DataError, MachineError
from chiasm.sources.listing import Listing
from chiasm.sources.manifest import ManifestSource

PREFIX = "hf://"
CONVERTED = "refs/convert/parquet"
_SPEC = re.compile(
    r"(datasets/)?(?P<owner>\w[\w.-]*)/(?P<name>\w[\w.-]*)(@(?P<revision>[\w.-]+))?(/(?P<config>[\w.-]+))?"
)


class HubSource(ManifestSource):
    """The rows of Parquet files in the hub's cache."""

    def fingerprint(self) -> str:
        """The files' paths: the revision's commit is one of their folders."""
        return "\0".join(map(str, self.paths))


def open_hub(spec: str, config: BuildConfig) -> HubSource:
    """The data set's rows. ConfigError for a name that is none, MachineError where the hub cannot be reached and nothing is in its cache,
    DataError where there is no such data set or no Parquet.
    """
    found = _SPEC.fullmatch(spec.removeprefix(PREFIX))
    if found is None:
        raise ConfigError(f"{spec}: write hf://OWNER/NAME, hf://OWNER/NAME/CONFIG or hf://OWNER/NAME@REVISION/CONFIG")
    name, part = f"{found['owner']}/{found['name']}", found["config"]
    folder = _fetch(name, found["revision"], part)
    rows = tuple(path for path in Listing(folder).files if path.endswith(".parquet"))
    if not rows and found["revision"] is None:
        folder = _fetch(name, CONVERTED, part)
        rows = tuple(path for path in Listing(folder).files if path.endswith(".parquet"))
    configs = sorted({path.split("/")[0] for path in rows if path.count("/") > 1})
    if part is not None:
        rows = tuple(path for path in rows if path.startswith((f"{part}/", f"data/{part}/")) or f"/{part}/" in path)
    elif len(configs) > 1:
        chosen = "default" if "default" in configs else configs[0]
        rows = tuple(path for path in rows if path.startswith(f"{chosen}/"))
    if not rows:
        raise DataError(
            f"{spec}: no Parquet files of it" + (f"; its configurations are {', '.join(configs)}" if configs else "")
        )
    rows = tuple(sorted(rows, key=lambda path: ("train" not in path, path)))
    source = HubSource([folder / path for path in rows], config, root=folder, name=name)
    source.found = f"manifest: {len(rows)} Parquet files of {name} on the Hugging Face hub, one row a record"
    return source


def _fetch(name: str, revision: str | None, part: str | None) -> Path:
    try:
        from huggingface_hub import errors as hub
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MachineError("hf:// needs the package huggingface_hub: pip install huggingface_hub") from None
    wanted = ["*.parquet"] if part is None else [f"{part}/*.parquet", f"data/{part}/*.parquet", f"*/{part}/*.parquet"]
    try:
        return Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=wanted))
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled):
        raise MachineError(
            f"hf://{name}: the hub cannot be reached, and its cache holds nothing of it; fetch it where there is a network, or give a folder"
        ) from None
    except (hub.RepositoryNotFoundError, hub.RevisionNotFoundError, hub.GatedRepoError, hub.HFValidationError) as error:
        raise DataError(f"hf://{name}: {str(error).strip().splitlines()[0]}") from None
    except (OSError, hub.HfHubHTTPError) as error:
        raise MachineError(f"hf://{name}: cannot be fetched: {str(error).strip().splitlines()[0]}") from None
