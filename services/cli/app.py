"""The root of the command: its subcommands are loaded when they are called, so that `--help` is instant."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click
from sparring.errors import ServiceError

from services.cli import failures, output, recording

# name -> (module of services.cli, words)
COMMANDS = {
    "up": ("up", "Start a service on this machine: store, gateway and workers."),
    "attack": ("attack", "Attack a model with one method."),
    "train": ("train", "Train a model with a defense."),
    "evaluate": ("evaluate", "Compare models under several attacks."),
    "poison": ("poison", "Poison training sets, and measure the harm."),
    "run": ("pipeline", "Run the steps of a file, each a job that waits for the others."),
    "jobs": ("jobs", "List, show, watch, cancel, retry and delete jobs."),
    "models": ("models", "Upload, list, show and delete models."),
    "datasets": ("datasets", "Upload, list, show and delete datasets."),
    "compare": ("compare", "Put the models of several jobs side by side, with paired differences."),
    "leaderboard": ("leaderboard", "Rank models by their worst-case robust accuracy."),
    "gate": ("gate", "Pass or fail a model by what a suite of attacks leaves of it, for CI."),
    "verify": ("verify", "Check a job's result against its manifest, and run some of it again."),
    "artifacts": ("artifacts", "Download and show files that jobs made."),
    "attacks": ("catalog", "The attacks of the service, with their parameters."),
    "defenses": ("catalog", "The defenses of the service, with their parameters."),
    "poisons": ("catalog", "The poisons of the service, with their parameters."),
    "architectures": ("catalog", "The architectures that models can have."),
    "info": ("catalog", "The service's version, limits and workers."),
    "whoami": ("tenant", "Who you are to the service, and what you may use."),
    "audit": ("tenant", "What was changed for the tenant, and what was refused."),
    "keys": ("keys", "Make keys for the gateway's file of tenants."),
    "credentials": ("credentials", "Make certificates for TLS, of an authority of your own."),
}

# Packages that are installed beside this one may add commands of their own, each a click command.
GROUP = "sparring.commands"

EPILOG = "The service is found at --server, or $SPARRING_SERVER, or 127.0.0.1:50051. Each command has its own --help."


def others() -> dict[str, EntryPoint]:
    """The commands that packages add, by name; no package can take the place of a command of the table."""
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in COMMANDS}


class Root(click.Group):
    """A group that knows its commands' names and words without loading them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names, in the order in which a newcomer meets them."""
        return [*COMMANDS, *others()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load one command; its module holds it under its own name."""
        if cmd_name in COMMANDS:
            module = importlib.import_module(f"services.cli.{COMMANDS[cmd_name][0]}")
            command: click.Command = getattr(module, cmd_name)
            return command
        added = others()
        if cmd_name not in added:
            return None
        loaded: click.Command = added[cmd_name].load()
        return loaded

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; where there is none, say which there are."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS and args[0] not in others():
            raise click.UsageError(
                f"there is no command {args[0]!r}; known are: {', '.join(self.list_commands(ctx))}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands from the table above."""
        with formatter.section("Commands"):
            listed = [(name, words) for name, (_, words) in COMMANDS.items()]
            added = [(name, entry.load().get_short_help_str(limit=100)) for name, entry in others().items()]
            formatter.write_dl(listed + added)


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's signature
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        output.line(f"sparring {version('sparring')}")
        ctx.exit()


@click.group(
    cls=Root,
    epilog=EPILOG,
    # Flags are the contract's field names: --step_size and --step-size are the same.
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda name: name.replace("_", "-"),
    },
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
def root() -> None:
    """Attack and defend image classifiers, as a service."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code."""
    # gRPC's own log lines (a gateway that goes away) would stand between ours; its errors reach us anyway.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        with recording.recorded():
            code: Any = root.main(args=list(arguments), prog_name="sparring", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        output.note("Interrupted.")
        return failures.INTERRUPTED
    except BrokenPipeError:
        # The reader, e.g. `head`, has seen enough. Python would complain while it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return failures.FAILED
    except (ServiceError, OSError) as error:
        return failures.report(error)
    return code if isinstance(code, int) else 0
