"""CEL conditions, with the library loaded only where a rule uses one."""

from __future__ import annotations

from typing import Any

from headland.vocabulary import ConfigurationError, Value

NAMES = frozenset(("value", "previous", "name", "labels", "time_s", "age_s", "severity"))


class Compiled:
    """One expression over the names in `NAMES`.

    Attributes:
        failures: Evaluations that gave no truth value (a type that the expression cannot take).
    """

    def __init__(self, expression: str, rule: str) -> None:
        try:
            import cel
        except ImportError:
            raise ConfigurationError(
                f"rule {rule!r} uses a CEL expression, and its library is not installed",
                path="when.expression",
                hint="pip install 'headland[rules]'",
            ) from None
        try:
            self._program: Any = cel.compile(expression)
        except ValueError as error:
            said = str(error).partition("\n")[0]
            raise ConfigurationError(f"rule {rule!r}: {said}", path="when.expression") from None
        unknown = set(self._program.variables()) - NAMES
        if unknown:
            raise ConfigurationError(
                f"rule {rule!r}: unknown name {', '.join(sorted(unknown))}",
                path="when.expression",
                hint=f"names are {', '.join(sorted(NAMES))}",
            )
        self._context_of: Any = cel.Context
        self._contexts: dict[int, Any] = {}
        self.failures = 0

    def bind(self, sid: int, name: str, labels: dict[str, str]) -> None:
        """Prepare the names of a series that never change."""
        self._contexts[sid] = self._context_of({"name": name, "labels": labels, "previous": None})

    def holds(self, sid: int, value: Value, time_s: float, age_s: float, severity: int) -> bool:
        """Whether the condition is true; the value becomes `previous` of the next call."""
        context = self._contexts[sid]
        number: Value = float(value) if type(value) is int else value
        context.add_variable("value", number)
        context.add_variable("time_s", time_s)
        context.add_variable("age_s", age_s)
        context.add_variable("severity", severity)
        try:
            answer = self._program.execute(context)
        except (TypeError, ValueError, RuntimeError, OverflowError, ZeroDivisionError):
            answer = None
        context.add_variable("previous", number)
        if answer is True or answer is False:
            return answer
        self.failures += 1
        return False

    def gives_instead(self) -> str:
        """What it gives instead of true or false, for numbers and texts that might come; "" if it does."""
        given = ""
        for value in (0.0, 1.0, -1.0, "text"):
            for previous in (1.0, None):
                names: dict[str, Any] = {"name": "a/b", "labels": {}, "previous": previous, "value": value}
                try:
                    answer = self._program.execute(
                        self._context_of({**names, "time_s": 0.0, "age_s": 0.0, "severity": -1})
                    )
                except (TypeError, ValueError, RuntimeError, OverflowError, ZeroDivisionError):
                    continue
                if isinstance(answer, bool):
                    return ""
                given = given or type(answer).__name__
        return given
