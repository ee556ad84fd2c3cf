"""Changing other people's classes, and changing them back.

A captured method is replaced by a plain function in its class's `__dict__`: a third of the cost of
an object proxy, and `inspect.signature` and pickling by name see no difference. One such *site*
serves everybody who listens to the method, so that runs may begin and end in any order.

*Guarantees.* The original runs first, with its own arguments, result and exceptions. Listeners hear
only the outermost captured call of a thread, whatever library it belongs to. Their errors are
logged and swallowed. No module is imported for the user. After `Patches.uninstall` the very same
object is back; where somebody else has patched on top of us, theirs stays and ours passes through.

What a library computes on its way through a captured call need not be computed twice: functions can
be *overheard*, and `overheard` tells the call's listeners what they made of an argument. It is
forgotten when the captured call ends, so nothing of the user's is kept alive.
"""

import functools
import importlib
import inspect
import sys
import threading
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, Final, TypeAlias

from tracelet.guard import contained, report, warn_once

Listener: TypeAlias = Callable[..., object]
"""Called with a captured call's own arguments, `self` included, after the original has returned."""

Helper: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]
"""Given a call's arguments, positional and by name, returns those that original and listeners get."""

_Wrapping: TypeAlias = Callable[[Callable[..., Any], "_Site"], Callable[..., Any]]
"""Given an original and its site, makes the function that stands there instead."""

_LOCK: Final = threading.RLock()
"""Held while sites and registrations change; never while something is imported or called."""

_awaited: Final[dict[str, list["_Patch | _Wish"]]] = {}
"""What to do as soon as a module is imported."""

_hooked: Final[set[str]] = set()
"""Modules that have an import hook of ours that has not fired yet."""


class _Here(threading.local):
    """Where this thread is.

    A captured call is synchronous, so a thread's flag is right for asyncio too, and gevent exchanges
    `threading.local` for one of its own. A context variable would be inherited by tasks that are
    started inside a captured call, and these would fall silent for good.

    `inside` is whether it is in a captured call; once something was overheard there, it is what: the
    arguments, by their ids, with what was made of them. So it ends with the call, at no cost of its own.
    """

    inside: "bool | dict[int, tuple[object, object]]" = False


_here: Final = _Here()


class Patches:
    """The patches of one installation, put in and taken back together."""

    def __init__(self) -> None:
        self._patches: dict[tuple[str, str], _Patch | _Wish] = {}

    @contained
    def wrap(self, owner_module: str, path: str, listener: Listener, helper: "Helper | None" = None) -> None:
        """Let `listener` hear the calls of a method, now or as soon as its module is imported.

        A method that these patches already listen to is left as it is.

        Args:
            owner_module: The module that defines the class; it need not be imported yet.
            path: The method's place in it: "Class.method".
            listener: Given the call's own arguments, `self` first. Hears outermost calls that returned.
            helper: Only for a call that the original refuses though its meaning is clear.
        """
        key = (owner_module, path)
        with _LOCK:
            if key in self._patches:
                return
            wrapping = _listened if helper is None else functools.partial(_helped, helper)
            patch = self._patches[key] = _Patch(path, listener, wrapping)
        _now_or_later(owner_module, patch)

    @contained
    def overhear(self, module: str, name: str) -> None:
        """Note what a module's function makes of its first argument while a captured call runs.

        Listeners ask for it with `overheard`. Outside of captured calls nothing is noted.

        Args:
            module: The module that calls the function by this name; it need not be imported yet.
            name: The function's name. A library's version that has none is passed over.
        """
        key = (module, name)
        with _LOCK:
            if key in self._patches:
                return
            # No one is told, and yet each installation counts: the last one takes the patch back.
            patch = self._patches[key] = _Patch(name, lambda: None, _noted, may_lack=True)
        _now_or_later(module, patch)

    @contained
    def when_imported(self, module: str, then: Callable[[ModuleType], None]) -> None:
        """Have `then` called with a module now, or as soon as it is imported; not after `uninstall`."""
        wish = _Wish(then)
        with _LOCK:
            self._patches[module, f"#{len(self._patches)}"] = wish
        _now_or_later(module, wish)

    def uninstall(self) -> None:
        """Take all patches back. Calls that are running end as they would have."""
        with _LOCK:
            for (owner_module, _), patch in self._patches.items():
                patch.uninstall()
                waiting = _awaited.get(owner_module, [])
                if patch in waiting:
                    waiting.remove(patch)
            self._patches.clear()


class _Wish:
    """Something to be done once, with a module."""

    __slots__ = ("_then",)

    def __init__(self, then: Callable[[ModuleType], None]) -> None:
        self._then: Callable[[ModuleType], None] | None = then

    @contained
    def install(self, module: ModuleType) -> None:
        with _LOCK:
            then, self._then = self._then, None
        if then is not None:
            then(module)

    def uninstall(self) -> None:
        self._then = None


class _Patch:
    """One listener at one method."""

    __slots__ = ("_listener", "_may_lack", "_path", "_site", "_wrapping")

    def __init__(self, path: str, listener: Listener, wrapping: _Wrapping, *, may_lack: bool = False) -> None:
        self._path = path
        self._wrapping = wrapping
        self._may_lack = may_lack
        self._listener: Listener | None = listener
        self._site: _Site | None = None

    @contained
    def install(self, module: ModuleType) -> None:
        owner: Any = module
        *parents, name = self._path.split(".")
        try:
            for parent in parents:
                owner = getattr(owner, parent)
            entry: object = inspect.getattr_static(owner, name)
        except AttributeError:
            entry = None
        if entry is None or isinstance(entry, staticmethod | classmethod):
            if not self._may_lack:
                message = "%s has no method %s; tracelet does not listen to it"
                warn_once(message, module.__name__, self._path)
            return

        with _LOCK:
            if self._listener is None or self._site is not None:
                return
            self._site = _site_at(owner, name, self._wrapping)
            self._site.listeners = (*self._site.listeners, self._listener)

    def uninstall(self) -> None:
        if self._site is not None:
            self._site.remove(self._listener)
        self._listener = self._site = None  # an import that ends later finds nothing to do


class _Site:
    """A captured method, with all who listen to it."""

    __slots__ = ("_entry", "_name", "_own", "_owner", "listeners", "replacement")

    def __init__(self, owner: Any, name: str, wrapping: _Wrapping) -> None:
        self._owner = owner
        self._name = name
        self._own = name in owner.__dict__
        self._entry: Any = inspect.getattr_static(owner, name)
        self.listeners: tuple[Listener, ...] = ()
        self.replacement: Final = wrapping(_callable(self._entry), self)

    def install(self) -> None:
        setattr(self._owner, self._name, self.replacement)

    def remove(self, listener: Listener | None) -> None:
        self.listeners = tuple(other for other in self.listeners if other is not listener)
        if self.listeners or self._owner.__dict__.get(self._name) is not self.replacement:
            return
        if self._own:
            setattr(self._owner, self._name, self._entry)
        else:
            delattr(self._owner, self._name)


def _site_at(owner: Any, name: str, wrapping: _Wrapping) -> _Site:
    """Find the site at a method, or make one."""
    entry: object = owner.__dict__.get(name)
    site = getattr(entry, "__tracelet_site__", None)
    # Who wraps ours with `functools.wraps` copies this attribute too: it counts only on our own.
    if isinstance(site, _Site) and site.replacement is entry:
        return site
    site = _Site(owner, name, wrapping)
    site.install()
    return site


def _callable(entry: Any) -> Callable[..., Any]:
    """Make a class's entry callable with `self` as the first argument."""
    if type(entry) is FunctionType:  # a proxy claims to be an instance of what it stands for
        return entry

    @functools.wraps(entry)
    def bound(instance: object, /, *args: object, **kwargs: object) -> object:
        # Another library's proxy tells methods from functions by being bound.
        return entry.__get__(instance, type(instance))(*args, **kwargs)

    return bound


def _listened(original: Callable[..., Any], site: _Site) -> Callable[..., Any]:
    """Make the function that stands where `original` stood."""
    here = _here

    @functools.wraps(original)
    def call(*args: object, **kwargs: object) -> object:
        listeners = site.listeners
        if here.inside or not listeners:
            return original(*args, **kwargs)
        try:
            here.inside = True  # within `try`: a signal between the two would silence the thread
            result = original(*args, **kwargs)
            for listener in listeners:
                try:
                    listener(*args, **kwargs)
                except Exception as error:  # noqa: BLE001, PERF203  the user's call succeeded and must return
                    report(error, f"listening to {original.__qualname__}")
            return result
        finally:
            here.inside = False

    call.__dict__["__tracelet_site__"] = site
    return call


def _helped(helper: Helper, original: Callable[..., Any], site: _Site) -> Callable[..., Any]:
    """Make the function that stands where `original` stood, with a helper in front of it."""
    listened = _listened(original, site)

    @functools.wraps(listened)
    def call(*args: object, **kwargs: object) -> object:
        if site.listeners:
            try:
                args, kwargs = helper(args, kwargs)
            except Exception as error:  # noqa: BLE001  then the original says what it thinks of the call
                report(error, f"helping {listened.__qualname__}")
        return listened(*args, **kwargs)

    return call


def _noted(original: Callable[..., Any], site: _Site) -> Callable[..., Any]:
    """Make the function that stands where `original` stood, and notes what it makes of its argument."""
    here = _here

    @functools.wraps(original)
    def call(*args: object, **kwargs: object) -> object:
        result = original(*args, **kwargs)
        inside = here.inside
        if inside and args and site.listeners:
            # The argument is held, too: an id is another object's as soon as the first is gone.
            if inside is True:
                here.inside = {id(args[0]): (args[0], result)}
            else:
                inside[id(args[0])] = (args[0], result)
        return result

    call.__dict__["__tracelet_site__"] = site
    return call


def overheard(argument: object) -> Any:
    """Return what an overheard function made of `argument` within this captured call; None if nothing.

    For listeners: after their call has ended, there is nothing any more.
    """
    inside = _here.inside
    if inside is True or inside is False:
        return None
    return inside.get(id(argument), (None, None))[1]


def _now_or_later(name: str, patch: _Patch | _Wish) -> None:
    """Install `patch`, at once if the module called `name` has been imported."""
    module = sys.modules.get(name)
    if module is None:
        _await(name, patch)
        return
    if getattr(getattr(module, "__spec__", None), "_initializing", False):
        importlib.import_module(name)  # another thread is at it: wait for that one
    patch.install(module)


def _await(name: str, patch: _Patch | _Wish) -> None:
    """Install `patch` when the module called `name` has been imported."""
    # Only here: it costs some 50 ms, and most scripts have imported their libraries by now.
    from wrapt import register_post_import_hook

    with _LOCK:
        _awaited.setdefault(name, []).append(patch)
        hooked = name in _hooked
        _hooked.add(name)
    if not hooked:
        register_post_import_hook(_imported, name)  # fires at once if it has been imported meanwhile


@contained
def _imported(module: ModuleType) -> None:
    """Install what waited for `module`. An error here would make the user's import fail."""
    with _LOCK:
        _hooked.discard(module.__name__)
        waiting = _awaited.pop(module.__name__, [])
    for patch in waiting:
        patch.install(module)
