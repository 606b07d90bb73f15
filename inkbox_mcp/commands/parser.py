"""Parses the flags of a command line."""

import argparse
import re
import sys
from collections.abc import Collection, Sequence
from typing import Any, NoReturn, cast

from inkbox_mcp import __version__
from inkbox_mcp.commands.terminal import show
from inkbox_mcp.settings.options import Group, SettingsError, options

COMMANDS = ("demo", "sandbox", "tools", "doctor")
"""The subcommands, which must be the first argument."""

SECRETS = """\
Each option is also an environment variable: --read-only is INKBOX_MCP_READ_ONLY. Secrets have no flag:
INKBOX_API_KEY, which may also be in ~/.inkbox/config (api_key = ApiKey_...), INKBOX_MCP_TOKEN, and
INKBOX_MCP_REQUEST_STATE_KEYS.
"""


class Parser(argparse.ArgumentParser):
    """Parses the flags of a command. Its errors are one line, without values: one may be a secret."""

    def __init__(self, command: str, description: str) -> None:
        """Make the parser of a command.

        Args:
            command: its name, or an empty string.
            description: for its help.
        """
        super().__init__(
            prog=f"inkbox-mcp {command}".rstrip(),
            description=description,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,  # so that only given flags override
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.repeatable: Collection[str] = ()
        """The names of flags whose values are a list, besides those of options."""

    def choose(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Return the given values by option name. A repeated list flag makes one list.

        Raises:
            SettingsError: a flag is unknown, lacks its value, or was given twice.
        """
        chosen, others = self.parse_known_args(arguments)
        if others:
            command = next((command for command in COMMANDS if command in others), None)
            advice = f"a command comes first: inkbox-mcp {command} …" if command else "see inkbox-mcp --help"
            raise SettingsError(f"unrecognized arguments: {_without_values(others)}; {advice}")
        lists = {option.name for option in options() if option.is_list}
        return {
            name: value if name in self.repeatable else _joined(name, value, name in lists)
            for name, value in vars(chosen).items()
        }

    def error(self, message: str) -> NoReturn:
        """Raise `SettingsError` without the values of flags."""
        message = re.sub(r"(invalid [^:]*: ).*?(?= \(choose from '|$)", r"\1…", message, flags=re.DOTALL)
        raise SettingsError(re.sub(r"ignored explicit argument .*", "takes no value", message, flags=re.DOTALL))

    def _print_message(self, message: str, file: Any = None) -> None:
        if message and file is not sys.stderr:
            show(message)


def server_parser(command: str, description: str) -> Parser:
    """Make the parser of a command with all options of a server."""
    parser = Parser(command, description)
    parser.epilog = SECRETS
    groups = {group: parser.add_argument_group(group.value) for group in Group}
    for option in options():
        group = groups[option.group]
        if option.flag is None:
            group.add_argument(f"--{option.name.replace('_', '-')}", type=_refuse_secret, help=argparse.SUPPRESS)
        elif option.is_switch:
            group.add_argument(option.flag, action="store_true", help=option.help)
        else:
            note = f"{option.help} (default: {option.default})" if option.default not in ((), None) else option.help
            group.add_argument(option.flag, action="append", metavar="VALUE", help=note)
    parser.add_argument("--version", action="version", version=f"inkbox-mcp {__version__}")
    return parser


def _refuse_secret(_: str) -> NoReturn:
    raise argparse.ArgumentTypeError("a command line is visible to every process; use an environment variable instead")


def _without_values(arguments: Sequence[str]) -> str:
    """Name unknown flags, and a first word in lower case, such as a misspelt command."""
    shown = ["".join(re.findall(r"\A(?:--[^= \t:]*|-.?)", argument)) or "…" for argument in arguments]
    if re.fullmatch(r"[a-z]{1,16}", arguments[0]):
        shown[0] = arguments[0]
    return " ".join(shown)


def _joined(name: str, value: Any, is_list: bool) -> Any:
    if not isinstance(value, list):
        return value
    values = cast("list[str]", value)
    if len(values) > 1 and not is_list:  # one of the values would be ignored silently
        raise SettingsError(f"--{name.replace('_', '-')} was given twice")
    return ",".join(values)
