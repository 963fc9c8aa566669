"""The command's part of the reference: every command of `sparring` with its arguments and flags, from click itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc

import click

from services.cli.app import root
from tools.reference_words import table

# Groups with a command for each method have a page of their own.
LARGE = ("attack", "train", "poison")
# Flags that every command which talks to a service has; they are told once.
COMMON = ("server", "key_file", "tls", "tls_ca", "tls_cert", "tls_key", "allow_plaintext_key", "as_json", "help")


def command_pages() -> Iterator[tuple[str, str]]:
    """Name and text of each page."""
    context = click.Context(root, info_name="sparring")
    commands = {name: root.get_command(context, name) for name in root.list_commands(context)}
    lines = ["# The command", "", "Every command of `sparring`, with its arguments and flags.", "", *common(commands)]
    for name, command in commands.items():
        assert command is not None
        if name in LARGE:
            lines += [
                "",
                f"## sparring {name}",
                "",
                f"[A page of its own](command-{name}.md): a command for each method.",
            ]
        else:
            lines += described(command, f"sparring {name}", context)
    yield "command.md", "\n".join(lines) + "\n"
    for name in LARGE:
        command = commands[name]
        assert isinstance(command, click.Group)
        own = click.Context(command, info_name=name, parent=context)
        page = [f"# sparring {name}", "", told(command)]
        for method in command.list_commands(own):
            part = command.get_command(own, method)
            assert part is not None
            page += described(part, f"sparring {name} {method}", own)
        yield f"command-{name}.md", "\n".join(page) + "\n"


def common(commands: dict[str, click.Command | None]) -> Iterator[str]:
    """The flags of all commands that talk to a service."""
    command = commands["info"]
    assert command is not None
    options = [parameter for parameter in command.params if parameter.name in COMMON]
    yield "Every command that talks to a service takes:"
    yield from table(("flag", "takes", "meaning"), map(option, options))


def described(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    """One command, and those below it."""
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    yield from ("", f"## {name}", "", f"`{usage}`", "", told(command))
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden and p.name not in COMMON]
    yield from table(("flag", "takes", "meaning"), map(option, options))
    if isinstance(command, click.Group):
        for part in command.list_commands(context):
            inner = command.get_command(context, part)
            assert inner is not None
            yield from described(inner, f"{name} {part}", context)


def told(command: click.Command) -> str:
    """A command's own words, without the marks that keep click from filling lines."""
    words = command.help if command.help is not None else command.get_short_help_str(200)
    return re.sub(r"\x08\n?", "", cleandoc(words)).replace("<", "&lt;").replace("*", "\\*")


def option(parameter: click.Parameter) -> tuple[str, str, str]:
    """Flag, what it takes, and what it means."""
    assert isinstance(parameter, click.Option)
    flags = " / ".join(f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts))
    takes = "" if parameter.is_flag else parameter.make_metavar(click.Context(root))
    words = "" if parameter.help is None else parameter.help
    return flags, f"`{takes}`" if takes else "", words + (" Required." if parameter.required else "")
