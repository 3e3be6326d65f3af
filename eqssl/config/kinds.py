"""Families of settings: several kinds with different settings, distinguished by the value of one key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any, ClassVar, Self, Union, get_args

from pydantic import Field

from eqssl.config.errors import unknown
from eqssl.config.settings import Settings


class Kind(Settings):
    """Settings of one kind of a family, for example of the pretext task `simclr`.

    A family is a subclass that names the key that distinguishes its kinds. A kind is a subclass of its family
    that has this key as a `Literal` and says which class implements it:

        class JigsawSettings(PretextSettings):
            implementation = "eqssl.pretexts.labels.jigsaw:Jigsaw"
            task: Literal["jigsaw"]

    Attributes:
        discriminator: the key.
        implementation: module and class. It is imported when it is built, not when settings are read.
    """

    discriminator: ClassVar[str]
    implementation: ClassVar[str]

    @classmethod
    def kind(cls) -> str:
        """The value of the key that means this kind."""
        (value,) = get_args(cls.model_fields[cls.discriminator].annotation)
        return str(value)

    @classmethod
    def kinds(cls) -> dict[str, type[Self]]:
        """All kinds of the family by their names, which are sorted."""
        return dict(sorted((kind.kind(), kind) for kind in cls._kinds()))

    @classmethod
    def _kinds(cls) -> Iterator[type[Self]]:
        for subclass in cls.__subclasses__():
            if "implementation" in vars(subclass):
                yield subclass
            yield from subclass._kinds()

    @classmethod
    def union(cls) -> Any:
        """The type of a setting that takes any kind of the family."""
        return Annotated[Union[tuple(cls.kinds().values())], Field(discriminator=cls.discriminator)]  # noqa: UP007

    @classmethod
    def read(cls, values: object, where: str = "") -> Self:
        """Validate a mapping; called on a family, as the kind that its key names."""
        if "implementation" in vars(cls) or not isinstance(values, Mapping):
            return super().read(values, where)
        key = f"{where}.{cls.discriminator}" if where else cls.discriminator
        if cls.discriminator not in values:
            raise ValueError(f"{key}: is missing (allowed: {', '.join(cls.kinds())})")
        return cls.named(values[cls.discriminator], key).read(values, where)

    @classmethod
    def named(cls, name: object, key: str) -> type[Self]:
        """The kind of that name.

        Raises:
            ValueError: if there is none, naming `key` and those that there are.
        """
        kinds = cls.kinds()
        if not isinstance(name, str) or name not in kinds:
            raise ValueError(unknown(key, name, kinds))
        return kinds[name]

    def modules(self) -> list[str]:
        """Dotted names of the modules whose code implements these settings."""
        return [self.implementation.partition(":")[0]]

    @classmethod
    def imported(cls) -> Any:
        """The class that implements this kind."""
        module, _, name = cls.implementation.partition(":")
        return getattr(import_module(module), name)
