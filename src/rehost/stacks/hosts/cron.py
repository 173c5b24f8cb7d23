"""Cron expressions with a time zone, checked, and as systemd's OnCalendar says the same."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from rehost.stacks.errors import InvalidInput
from rehost.stacks.hosts.units import Schedule

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LAST, _LAST_WORKDAY = -1000, -1001
"""How the library writes `L` and `LW`."""


def parse(schedule: Schedule) -> CronSim:
    """The expression in its time zone. Raises InvalidInput for what is none."""
    try:
        zone = ZoneInfo(schedule.timezone)
    except (ValueError, OSError, LookupError):
        raise InvalidInput(
            f"{schedule.timezone!r} is no time zone", fix="write a name such as UTC or Europe/Berlin"
        ) from None
    try:
        if len(schedule.cron.split()) != 5:
            raise CronSimError("it needs five fields: minute, hour, day, month, weekday")
        return CronSim(schedule.cron, datetime.now(zone))
    except CronSimError as error:
        raise InvalidInput(f"{schedule.cron!r} is no schedule", why=str(error)) from None


def on_calendar(schedule: Schedule) -> tuple[str, ...]:
    """OnCalendar expressions that together elapse when the cron expression does.

    There are two where day and weekday are both restricted, since cron then takes either; systemd runs the unit
    once when both elapse at the same time. The last working day (`LW`) has no counterpart: InvalidInput. A time
    that a change of the clock leaves out is made good right after it by cron, an hour later by systemd.
    """
    cron = parse(schedule)
    if cron.days == {_LAST_WORKDAY}:
        raise InvalidInput(
            f"{schedule.cron!r} can't be said to systemd", why="it has no last working day of a month"
        )
    time = f"{_set(cron.hours, 24)}:{_set(cron.minutes, 60)}:00 {schedule.timezone}"
    months = _set(cron.months, 12, first=1)
    plain = {_DAYS[day] for day in cron.weekdays if isinstance(day, int)}
    special = sorted(day for day in cron.weekdays if isinstance(day, tuple))
    dates = f"*-{months}~01" if cron.days == {_LAST} else f"*-{months}-{_set(cron.days, 31, first=1)}"
    week = (
        [] if not plain else ["" if len(plain) == 7 else ",".join(_DAYS[d] for d in range(7) if _DAYS[d] in plain)]
    )
    if cron.day_and:
        found = [f"{days} {dates} {time}" for days in week]
    else:
        found = [f"{dates} {time}", *(f"{days} *-{months}-* {time}" for days in week)]
    if special and cron.days != set(range(1, 32)) and cron.day_and:
        raise InvalidInput(f"{schedule.cron!r} can't be said to systemd", why="a numbered weekday of certain days")
    for day, number in special:
        which = "~07/1" if number == _LAST else f"-{number * 7 - 6:02}..{number * 7:02}"
        found.append(f"{_DAYS[day]} *-{months}{which} {time}")
    return tuple(text.strip() for text in found)


def _set(values: Iterable[int], size: int, first: int = 0) -> str:
    numbers = sorted(values)
    if numbers == list(range(first, first + size)):
        return "*"
    return ",".join(f"{number:02}" for number in numbers)
