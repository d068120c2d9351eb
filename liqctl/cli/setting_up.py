"""`liqctl init` and `liqctl schema`: a first settings file, and what documents look like."""

import os

from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.kernel.errors import UsageError

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@takes(
    "environment", "config_file", environment="Whose settings.", config_file="Where to write it."
)
def init(options: Options) -> None:
    """Write a commented settings file with every setting at its default; never over one.

    Without --config it is NAME.yaml of the environment in the first folder where liqctl looks for
    it. Exit codes: 0 written, 1 it cannot be written, 2 usage, or a file is there.

    Example: liqctl init --env testnet
    """
    from liqctl.settings.model import first_file
    from liqctl.settings.yaml_file import search_path

    if options.environment is None:
        raise UsageError("no environment was chosen; give --env production, testnet or simulator")
    path = options.config_file or search_path(os.environ)[0] / f"{options.environment}.yaml"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, _FLAGS, 0o600), "w", encoding="utf-8") as file:
            file.write(first_file(options.environment))
    except FileExistsError:
        raise UsageError(f"{path} is there already; nothing was written") from None
    except OSError as error:
        process.print_error(f"liqctl: {path} cannot be written: {error.strerror}")
        process.leave(1)
    process.print_answer(
        f"{path} written. Next: liqctl validate --env {options.environment} --config {path}"
    )


@takes("document")
def schema(options: Options) -> None:
    """Print the JSON schema of a document that liqctl writes, or of its settings file.

    Example: liqctl schema settings > liqctl.schema.json
    """
    from liqctl.desk.schemas import schema_of
    from liqctl.kernel.as_json import dump

    process.print_answer(dump(schema_of(options.document)))
