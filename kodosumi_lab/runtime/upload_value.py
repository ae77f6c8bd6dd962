"""What a form says of its file element: kodosumi's JSON text, read and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass

from kodosumi_lab.errors import FileNameError, UploadError
from kodosumi_lab.runtime.filenames import clean_name

__all__ = ["UploadValue", "parse_upload_value"]


@dataclass(frozen=True, slots=True)
class UploadValue:
    """What a form says of its file element.

    Attributes
    ----------
    batch_id
        The batch; None when nothing was chosen.
    items
        File name and number of chunks, by upload id.
    """

    batch_id: str | None
    items: dict[str, tuple[str, int]]

    @property
    def filenames(self) -> set[str]:
        """Names of the files: what a kodosumi service gets as the element's input."""
        return {name for name, _ in self.items.values()}


def parse_upload_value(text: str | None) -> UploadValue:
    """Read kodosumi's form value of a file element.

    Parameters
    ----------
    text
        ``{"batchId": …, "items": {id: {"filename": …, "totalChunks": …}}}`` as JSON text; empty or
        None when nothing was chosen.

    Raises
    ------
    UploadError
        It is something else.
    FileNameError
        A file's name leads out of a run's files.
    """
    if text is None or text == "":
        return UploadValue(None, {})
    try:
        data = json.loads(text)
        items = {
            str(upload_id): (clean_name(item["filename"]), int(item["totalChunks"]))
            for upload_id, item in data["items"].items()
        }
        batch_id = data["batchId"] if items else None
    except FileNameError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UploadError(
            f"the value of a file element cannot be read ({type(error).__name__}); expected "
            f'{{"batchId": …, "items": {{id: {{"filename": …, "totalChunks": …}}}}}} as JSON text: {str(text)[:200]!r}'
        ) from None
    if batch_id is not None and not isinstance(batch_id, str):
        raise UploadError(f"the value of a file element names no batch: batchId is {batch_id!r}")
    return UploadValue(batch_id, items)
