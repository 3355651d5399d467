"""A folder of files that each may register something, which are imported when it is asked for and not before."""

import importlib
import pkgutil
import re
import sys
from functools import cached_property
from pathlib import Path


class Folder:
    """The files of a package.

    Args:
        package: its name; it is being imported, or is imported.
    """

    def __init__(self, package: str) -> None:
        self.package = package

    @cached_property
    def names(self) -> set[str]:
        """What the files register, as it stands in them: `@register("name")` at the beginning of a line."""
        folder = Path(str(sys.modules[self.package].__file__)).parent
        texts = (file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
        return {name for text in texts for name in re.findall(r"^@register\(\s*['\"](\w+)", text, re.MULTILINE)}

    @cached_property
    def _modules(self) -> list[object]:
        names = [module.name for module in pkgutil.iter_modules(sys.modules[self.package].__path__)]
        return [importlib.import_module(f"{self.package}.{name}") for name in names]

    def load(self) -> None:
        """Import the files, so that they register."""
        _ = self._modules
