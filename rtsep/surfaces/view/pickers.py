"""Lists over the picture: presets, models, devices to pick from, all that was said, the help."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.containers import Vertical, VerticalScroll
from textual.filter import LineFilter
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from rtsep.errors import RtsepError
from rtsep.surfaces.players.player import Choice
from rtsep.surfaces.view.palette import nearest_256

_BOX = """
    align: center middle;
    background: transparent;
    #box { width: 76; max-width: 96%; height: auto; max-height: 90%; padding: 0 1; background: #10151c;
           border: round #4a5563; border-title-color: #ffb13b; border-title-style: bold;
           border-subtitle-color: #77808c; }
    #said { height: auto; max-height: 6; color: #77808c; }
    #said.refused { color: #ff5f5f; }
    Input { height: 1; border: none; padding: 0; background: #1b222c; }
    Input:focus { border: none; }
    OptionList { height: auto; max-height: 50vh; border: none; padding: 0; background: #10151c; }
    OptionList:focus { border: none; }
    VerticalScroll, OptionList { scrollbar-size: 1 1; scrollbar-color: #4a5563; scrollbar-background: #151a21;
        scrollbar-color-hover: #77808c; scrollbar-background-hover: #151a21;
        scrollbar-color-active: #77808c; scrollbar-background-active: #151a21; }
"""


class Nearest(LineFilter):
    """Takes what a terminal of 256 colours has nearest to those of a list, as `canvas` does for its lines."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments of a line in those colours."""
        return [Segment(text, style and _in_256(style), control) for text, style, control in segments]


@lru_cache(maxsize=1 << 10)
def _in_256(style: Style) -> Style:
    front, back = (None if c is None else nearest_256(c) for c in (style.color, style.bgcolor))
    return style + Style(color=front, bgcolor=back)


class Picker(ModalScreen[bool]):
    """A list with a filter. Enter does it; what is refused is said, and the list stays."""

    CSS = f"Picker {{ {_BOX} }}"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "back"),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(8)", show=False, priority=True),
        Binding("pageup", "move(-8)", show=False, priority=True),
    ]

    def __init__(
        self,
        title: str,
        find: Callable[[], list[Choice]],
        pick: Callable[[Choice], None],
        new: Callable[[str], str] | None = None,
        empty: str = "there is nothing to pick",
        remark: Callable[[], str] = lambda: "",
    ) -> None:
        """List what `find` gives, and `pick` one; both may take their time, and refuse with an `RtsepError`.

        With `new`, a name that is not in the list can be picked as well: `new(name)` says what that does.
        `empty` stands in for a list of nothing; `remark` is asked behind `find` what else is to be known.
        """
        super().__init__()
        self._title, self._find, self._pick, self._new = title, find, pick, new
        self._empty, self._remark = empty, remark
        self._choices: list[Choice] = []
        self._shown: list[Choice] = []
        self._looked = False  # whether it is known what there is
        self._hint = ""  # what is said under a list that is there; "" until it is
        self._unmatched = False  # whether it is said that nothing matches
        self._sure = ""  # the name that Enter has been pressed on once, and will replace
        self.busy = False
        self._typed = ""  # before there was a field to type into
        self._entered = False  # before it was known what there is

    def compose(self) -> ComposeResult:
        """Filter, list, and what was said."""
        with Vertical(id="box") as box:
            box.border_title = self._title
            yield Input(placeholder="a name" if self._new else "type to filter", select_on_focus=False)
            yield OptionList()
            yield Static("looking...", id="said", markup=False)

    def on_mount(self) -> None:
        """Look what there is."""
        self.query_one(OptionList).can_focus = False
        field = self.query_one(Input)
        field.value = self._typed
        field.focus()
        self._look()

    def on_key(self, event: events.Key) -> None:
        """Keep what is typed before the field has the keys: nobody waits for it, least of all on a stage."""
        field = next(iter(self.query(Input)), None)
        if field is not None and field.has_focus:
            return
        if event.is_printable and event.character:
            event.stop()
            if field is None:
                self._typed += event.character
            else:
                field.insert_text_at_cursor(event.character)
        elif event.key == "enter":
            event.stop()
            if self._looked:
                self._show()  # what was typed just before
            self._enter()

    @work(thread=True, exit_on_error=False)
    def _look(self) -> None:
        choices: list[Choice] = []
        remark = refused = ""
        try:
            choices, remark = self._find(), self._remark()
        except Exception as error:
            refused = in_words(error)
        if self.is_attached:  # not closed meanwhile
            self.app.call_from_thread(self._list, choices, remark, refused)

    def _list(self, choices: list[Choice], remark: str, refused: str) -> None:
        """Show what there is, or why that is not known; an Enter that came before is done now."""
        self._choices, self._looked = choices, True
        if refused:
            self.say(refused, refused=True)
        else:
            picks = choices or self._new
            hint = "Enter picks, Esc goes back" if picks else f"{self._empty}; Esc goes back"
            self._hint = "\n".join(line for line in (remark, hint) if line)
            self.say(self._hint)
        self._show()

    def say(self, line: str, refused: bool = False) -> None:
        """Show a line under the list."""
        said = self.query_one("#said", Static)
        said.set_class(refused, "refused")
        said.update(Text(line))

    @on(Input.Changed)
    def _show(self) -> None:
        """Show the choices that the filter lets through: all of its words, anywhere."""
        typed = self.query_one(Input).value.strip()
        words = typed.lower().split()
        kept = [c for c in self._choices if all(w in f"{c.kind} {c.name} {c.note}".lower() for w in words)]
        if self._new and typed and typed not in [c.name for c in self._choices]:
            kept.insert(0, Choice(typed, self._new(typed)))
        self._shown = kept
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(_row(choice)) for choice in kept])
        current = next((i for i, choice in enumerate(kept) if choice.current), 0)
        options.highlighted = current if kept else None
        self._sure = ""
        self._say_whether_any(typed)
        if self._looked and self._entered:
            self._enter()

    def _say_whether_any(self, typed: str) -> None:
        """Say that nothing matches what was typed, and take it back."""
        unmatched = bool(self._hint and self._choices and not self._shown)
        if unmatched:
            self.say(f"nothing here matches '{typed}': Backspace takes it back, Esc goes back")
        elif self._unmatched:
            self.say(self._hint)
        self._unmatched = unmatched

    def action_move(self, steps: int) -> None:
        """Go up or down the list."""
        options = self.query_one(OptionList)
        if self._shown:
            options.highlighted = min(max((options.highlighted or 0) + steps, 0), len(self._shown) - 1)
            self._sure = ""

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _enter(self) -> None:
        self._entered = not self._looked
        if self._entered:
            return
        highlighted = self.query_one(OptionList).highlighted
        if highlighted is None or self.busy:
            return
        choice = self._shown[highlighted]
        if self._new and choice in self._choices and self._sure != choice.name:
            self._sure = choice.name
            self.say(f"'{choice.name}' is there: Enter again replaces it")
            return
        self.busy = True
        self.say("one moment...")
        self._do(choice)

    @work(thread=True, exit_on_error=False)
    def _do(self, choice: Choice) -> None:
        refused = ""
        try:
            self._pick(choice)
        except Exception as error:
            refused = in_words(error)
        if self.is_attached:
            self.app.call_from_thread(self._end, refused)

    def _end(self, refused: str) -> None:
        """Close, or say what was refused. Busy until then: an Enter meanwhile would pick once more."""
        if refused:
            self.busy = False
            self.say(refused, refused=True)
        else:
            self.dismiss(True)


def in_words(error: Exception) -> str:
    """Return a refusal as it is meant for users; of what should not have happened, what it was as well."""
    return str(error) if isinstance(error, RtsepError) else f"{type(error).__name__}: {error}"


def _row(choice: Choice) -> Text:
    row = Text("● " if choice.current else "  ", no_wrap=True, overflow="ellipsis")
    if choice.kind:
        row.append(f"{choice.kind:<7}", "dim")
    row.append(choice.name, "bold")
    return row.append(f"  {choice.note}" if choice.note else "", "dim")


class Page(ModalScreen[bool]):
    """Lines to read; any key goes back, arrows scroll."""

    CSS = f"Page {{ {_BOX} }} Page VerticalScroll {{ height: auto; max-height: 100%; }}"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll(1)", show=False),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("end", "scroll(9999)", show=False),
        Binding("home", "scroll(-9999)", show=False),
    ]

    def __init__(self, title: str, text: Text | Table, from_end: bool = False) -> None:
        super().__init__()
        self._title, self._text, self._from_end = title, text, from_end

    def compose(self) -> ComposeResult:
        """Text in a frame."""
        with Vertical(id="box") as box:
            box.border_title, box.border_subtitle = self._title, "up and down scroll, any other key goes back"
            with VerticalScroll():
                yield Static(self._text)

    def on_mount(self) -> None:
        """Begin at the end, where the newest is."""
        if self._from_end:
            self.query_one(VerticalScroll).scroll_end(animate=False)

    def action_scroll(self, lines: int) -> None:
        """Scroll by `lines`."""
        scroll = self.query_one(VerticalScroll)
        scroll.scroll_to(y=scroll.scroll_y + lines, animate=False)

    def on_key(self, event: events.Key) -> None:
        """Go back, unless it is a key that scrolls."""
        if event.key not in ("down", "up", "j", "k", "pagedown", "pageup", "space", "home", "end"):
            event.stop()
            self.dismiss()


def key_table(rows: list[tuple[str, str]]) -> Table:
    """Return two columns as a table."""
    table = Table.grid(padding=(0, 2))
    for name, what in rows:
        table.add_row(Text(name, "bold"), what)
    return table
