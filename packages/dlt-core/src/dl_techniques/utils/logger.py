"""The logger of the ecosystem: silent by default, configured by the application.

```python
from dl_techniques.utils.logger import configure_logging, logger

configure_logging()          # opt in; without it nothing is shown
logger.info("Training started")
```
"""

from __future__ import annotations

import logging
import sys
from typing import Final, TextIO

LOGGER_FORMAT: Final = (
    "%(asctime)s %(levelname)-4s %(filename)s:%(funcName)s:%(lineno)s] %(message)s"
)

logger: Final = logging.getLogger("dl_techniques")
# A library must not decide where messages go; the null handler keeps it quiet about it.
logger.addHandler(logging.NullHandler())


class _Handler(logging.StreamHandler[TextIO]):
    """Marks the handler that `configure_logging` made, so that it can be replaced."""


def configure_logging(level: int | str = logging.INFO, stream: TextIO | None = None) -> None:
    r"""Show the messages of this logger, and of no other, in the project's format.

    Calling it again replaces the level and the stream; messages are never shown twice. The root
    logger is left alone.

    Args:
        level: The least level to show, a number or a name such as `"DEBUG"`.
        stream: Where to; by default standard error.

    Raises:
        ValueError: If `level` is not a level.

    Example:
        >>> import io
        >>> stream = io.StringIO()
        >>> configure_logging("INFO", stream)
        >>> logger.info("Training started")
        >>> stream.getvalue().endswith("Training started\n")
        True
    """
    logger.setLevel(level)
    for handler in [handler for handler in logger.handlers if isinstance(handler, _Handler)]:
        logger.removeHandler(handler)
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(logging.Formatter(LOGGER_FORMAT))
    logger.addHandler(handler)
    # An application that configured the root logger, too, would see every message twice.
    logger.propagate = False
