"""Lists over the picture: presets, models and devices to choose, all messages, the help."""

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
from rtsep.files.names import one_line
from rtsep.surfaces.players.player import Choice
from rtsep.surfaces.view.palette import nearest_256

_BOX = """
    align: center middle;
    background: transparent;
    #box { width: 76; max-width: 96%; height: auto; max-height: 90%; padding: 0 1; background: #10151c;
           border: round #4a5563; border-title-color: #ffb13b; border-title-style: bold;
           border-subtitle-color: #77808c; }
    #message { height: auto; max-height: 6; color: #77808c; }
    #message.refused { color: #ff5f5f; }
    Input { height: 1; border: none; padding: 0; background: #1b222c; }
    Input:focus { border: none; }
    OptionList { height: auto; max-height: 50vh; border: none; padding: 0; background: #10151c; }
    OptionList:focus { border: none; }
    VerticalScroll, OptionList { scrollbar-size: 1 1; scrollbar-color: #4a5563; scrollbar-background: #151a21;
        scrollbar-color-hover: #77808c; scrollbar-background-hover: #151a21;
        scrollbar-color-active: #77808c; scrollbar-background-active: #151a21; }
"""


class Nearest(LineFilter):
    """Maps a list's colours to those of a 256-colour terminal, as `canvas` does for its lines."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments of a line in those colours."""
        return [Segment(text, style and _in_256(style), control) for text, style, control in segments]


@lru_cache(maxsize=1 << 10)
def _in_256(style: Style) -> Style:
    front, back = (None if c is None else nearest_256(c) for c in (style.color, style.bgcolor))
    return style + Style(color=front, bgcolor=back)


class Picker(ModalScreen[bool]):
    """List with a filter. Enter chooses an entry; a refusal is shown, and the list stays open."""

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
        """List the results of `find`, and `pick` one; both may take time, and refuse with an `RtsepError`.

        With `new`, a name outside the list can be chosen as well: `new(name)` describes the effect. `empty`
        replaces an empty list; `remark` is called after `find` for further information.
        """
        super().__init__()
        self._title, self._find, self._pick, self._new = title, find, pick, new
        self._empty, self._remark = empty, remark
        self._choices: list[Choice] = []
        self._shown: list[Choice] = []
        self._looked = False  # the entries are known
        self._hint = ""  # message under a ready list; "" before
        self._unmatched = False  # the message that nothing matches is shown
        self._sure = ""  # name confirmed by one Enter, which the next Enter replaces
        self.busy = False
        self._typed = ""  # typed before the field existed
        self._entered = False  # Enter was pressed before the entries were known

    def compose(self) -> ComposeResult:
        """Create filter, list, and message."""
        with Vertical(id="box") as box:
            box.border_title = self._title
            yield Input(placeholder="a name" if self._new else "type to filter", select_on_focus=False)
            yield OptionList()
            yield Static("looking...", id="message", markup=False)

    def on_mount(self) -> None:
        """Load the entries."""
        self.query_one(OptionList).can_focus = False
        field = self.query_one(Input)
        field.value = self._typed
        field.focus()
        self._look()

    def on_key(self, event: events.Key) -> None:
        """Keep keys typed before the field has the focus, so that the user need not wait."""
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
                self._show()  # keys typed just before
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
        """Show the entries, or the reason why they are unknown; carry out an earlier Enter now."""
        self._choices, self._looked = choices, True
        if refused:
            self.show_line(refused, refused=True)
        else:
            picks = choices or self._new
            hint = "Enter chooses, Esc goes back" if picks else f"{self._empty}; Esc goes back"
            self._hint = "\n".join(line for line in (remark, hint) if line)
            self.show_line(self._hint)
        self._show()

    def show_line(self, line: str, refused: bool = False) -> None:
        """Show a line under the list."""
        message = self.query_one("#message", Static)
        message.set_class(refused, "refused")
        message.update(Text(line))

    @on(Input.Changed)
    def _show(self) -> None:
        """Show the entries that contain all words of the filter."""
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
        self._show_whether_any(typed)
        if self._looked and self._entered:
            self._enter()

    def _show_whether_any(self, typed: str) -> None:
        """Show or remove the message that nothing matches the filter."""
        unmatched = bool(self._hint and self._choices and not self._shown)
        if unmatched:
            self.show_line(f"nothing matches '{typed}': Backspace deletes it, Esc goes back")
        elif self._unmatched:
            self.show_line(self._hint)
        self._unmatched = unmatched

    def action_move(self, steps: int) -> None:
        """Move up or down in the list."""
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
            self.show_line(f"'{choice.name}' already exists: press Enter again to replace it")
            return
        self.busy = True
        self.show_line("one moment...")
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
        """Close, or show the refusal. Until then the list is busy: another Enter would choose again."""
        if refused:
            self.busy = False
            self.show_line(refused, refused=True)
        else:
            self.dismiss(True)


def in_words(error: Exception) -> str:
    """Return a refusal as text for users; for an unexpected error, include its class."""
    return str(error) if isinstance(error, RtsepError) else f"{type(error).__name__}: {error}"


def _row(choice: Choice) -> Text:
    row = Text("● " if choice.current else "  ", no_wrap=True, overflow="ellipsis")
    if choice.kind:
        row.append(f"{choice.kind:<7}", "dim")
    row.append(one_line(choice.name), "bold")
    return row.append(f"  {choice.note}" if choice.note else "", "dim")


class Page(ModalScreen[bool]):
    """Page of text; any key goes back, arrows scroll."""

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
        """Create the text in a frame."""
        with Vertical(id="box") as box:
            box.border_title, box.border_subtitle = self._title, "up and down scroll, any other key goes back"
            with VerticalScroll():
                yield Static(self._text)

    def on_mount(self) -> None:
        """Scroll to the end, where the newest line is."""
        if self._from_end:
            self.query_one(VerticalScroll).scroll_end(animate=False)

    def action_scroll(self, lines: int) -> None:
        """Scroll by `lines`."""
        scroll = self.query_one(VerticalScroll)
        scroll.scroll_to(y=scroll.scroll_y + lines, animate=False)

    def on_key(self, event: events.Key) -> None:
        """Go back, unless the key scrolls."""
        if event.key not in ("down", "up", "j", "k", "pagedown", "pageup", "space", "home", "end"):
            event.stop()
            self.dismiss()


def key_table(rows: list[tuple[str, str]]) -> Table:
    """Return two columns as a table."""
    table = Table.grid(padding=(0, 2))
    for name, what in rows:
        table.add_row(Text(name, "bold"), what)
    return table
