"""Changing other people's classes, and changing them back.

A captured method is replaced by a plain function in its class's `__dict__`: a third of the cost of
an object proxy, and `inspect.signature` and pickling by name see no difference. One such *site*
serves everybody who listens to the method, so that runs may begin and end in any order.

*Guarantees.* The original runs first, with its own arguments, result and exceptions. Listeners hear
only the outermost captured call of a thread, whatever library it belongs to. Their errors are
logged and swallowed. No module is imported for the user. After `Patches.uninstall` the very same
object is back; where somebody else has patched on top of us, theirs stays and ours passes through.
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
    """

    inside = False


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
            patch = self._patches[key] = _Patch(path, listener, helper)
        _now_or_later(owner_module, patch)

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

    __slots__ = ("_helper", "_listener", "_path", "_site")

    def __init__(self, path: str, listener: Listener, helper: Helper | None) -> None:
        self._path = path
        self._helper = helper
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
            warn_once("%s has no method %s; tracelet does not listen to it", module.__name__, self._path)
            return

        with _LOCK:
            if self._listener is None or self._site is not None:
                return
            self._site = _site_at(owner, name, self._helper)
            self._site.listeners = (*self._site.listeners, self._listener)

    def uninstall(self) -> None:
        if self._site is not None:
            self._site.remove(self._listener)
        self._listener = self._site = None  # an import that ends later finds nothing to do


class _Site:
    """A captured method, with all who listen to it."""

    __slots__ = ("_entry", "_name", "_own", "_owner", "listeners", "replacement")

    def __init__(self, owner: Any, name: str, helper: Helper | None) -> None:
        self._owner = owner
        self._name = name
        self._own = name in owner.__dict__
        self._entry: Any = inspect.getattr_static(owner, name)
        self.listeners: tuple[Listener, ...] = ()
        listened = _listened(_callable(self._entry), self)
        self.replacement: Final = listened if helper is None else _helped(listened, helper, self)

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


def _site_at(owner: Any, name: str, helper: Helper | None) -> _Site:
    """Find the site at a method, or make one."""
    entry: object = owner.__dict__.get(name)
    site = getattr(entry, "__tracelet_site__", None)
    # Who wraps ours with `functools.wraps` copies this attribute too: it counts only on our own.
    if isinstance(site, _Site) and site.replacement is entry:
        return site
    site = _Site(owner, name, helper)
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


def _helped(listened: Callable[..., Any], helper: Helper, site: _Site) -> Callable[..., Any]:
    """Make the function that stands where `listened` would, with a helper in front of it."""

    @functools.wraps(listened)
    def call(*args: object, **kwargs: object) -> object:
        if site.listeners:
            try:
                args, kwargs = helper(args, kwargs)
            except Exception as error:  # noqa: BLE001  then the original says what it thinks of the call
                report(error, f"helping {listened.__qualname__}")
        return listened(*args, **kwargs)

    return call


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
