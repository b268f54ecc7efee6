"""A group of commands one of which needs not be named: `portcullis import FILE` beside `portcullis import held`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

_UNNAMED = ""


class DefaultCommand(TyperCommand):
    """The command that runs when none of its group is named; it goes by the group's own name."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Make its context in the place of the group's, so that its usage and its faults name the group."""
        if parent is not None and info_name == _UNNAMED:
            info_name, parent = parent.info_name, parent.parent
        return super().make_context(info_name, args, parent=parent, **extra)


class GroupWithDefault(TyperGroup):
    """A group whose one `DefaultCommand` takes every command line that does not begin with the name of another.

    What the group shows as its help is the default's, with the others below it.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        (name,) = [name for name, command in self.commands.items() if isinstance(command, DefaultCommand)]
        self.default = self.commands.pop(name)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default in the place of a command that is not named."""
        unnamed = args[0] not in self.commands and args[0] not in ctx.help_option_names if args else not self.no_args_is_help
        if unnamed:
            args = [_UNNAMED, *args]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command; the default goes by no name."""
        return self.default if cmd_name == _UNNAMED else super().get_command(ctx, cmd_name)

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Write the default's usage, and how the others are called."""
        self.default.format_usage(self._default_context(ctx), formatter)
        formatter.write_usage(ctx.command_path, self.subcommand_metavar, prefix="       ")

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write what the default does."""
        self.default.format_help_text(self._default_context(ctx), formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write what the default takes, then the others."""
        self.default.format_options(self._default_context(ctx), formatter)
        self.format_commands(ctx, formatter)

    def _default_context(self, ctx: Any) -> Any:
        return self.default.context_class(self.default, info_name=ctx.info_name, parent=ctx.parent)
