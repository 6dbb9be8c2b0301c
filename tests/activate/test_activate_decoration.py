from __future__ import annotations

import asyncio
import functools
import inspect

import angreal
import pytest

from esker.activate.decoration import decorated, defining_directory


@pytest.fixture
def seen():
    return []


@pytest.fixture
def inside(seen):
    """Give a decorator whose context records, under a given name, when it is entered and left."""

    class Context:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            seen.append(f"+{self.name}")

        def __exit__(self, *_):
            seen.append(f"-{self.name}")

        async def __aenter__(self):
            self.__enter__()

        async def __aexit__(self, *_):
            self.__exit__()

    return lambda name="": lambda function: decorated(function, lambda: Context(name))


def test_a_function_runs_inside_each_time(inside, seen):
    """Each call enters and leaves the context and passes arguments and result; the function keeps its signature."""

    @inside()
    def add(left, *, right=2):
        """Add."""
        seen.append("body")
        return left + right

    assert (add(1), add(1, right=5)) == (3, 6)
    assert seen == ["+", "body", "-"] * 2
    assert (add.__name__, add.__doc__, str(inspect.signature(add))) == ("add", "Add.", "(left, *, right=2)")


def test_an_error_leaves_the_context(inside, seen):
    """An error of the body comes out unchanged, after the context was left."""

    @inside()
    def fail():
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        fail()
    assert seen == ["+", "-"]


def test_methods(inside, seen):
    """Methods of all three kinds get their first argument as usual, whichever decorator is outermost."""

    class Task:
        @inside()
        def own(self):
            return type(self)

        @inside()
        @classmethod
        def of_class(cls):
            return cls

        @staticmethod
        @inside()
        def static(value):
            return value

        @inside()
        @staticmethod
        def static_below(value):
            return value

    task = Task()
    assert (task.own(), task.of_class(), task.static(Task), Task.static_below(Task)) == (Task,) * 4
    assert seen == ["+", "-"] * 4


def test_a_coroutine_runs_inside(inside, seen):
    """The body of `async def` runs inside the context, not only the call that makes the coroutine."""

    @inside()
    async def wait():
        seen.append("before")
        await asyncio.sleep(0)
        seen.append("after")
        return 7

    assert inspect.iscoroutinefunction(wait)
    assert asyncio.run(wait()) == 7
    assert seen == ["+", "before", "after", "-"]


def test_a_generator_stays_inside_between_its_items(inside, seen):
    """A generator stays in the context from its first step to its end; sent, thrown and returned values pass."""

    @inside()
    def items():
        try:
            seen.append((yield 1))
        except KeyError:
            seen.append("thrown")
        return 9

    generator = items()
    assert seen == []
    assert next(generator) == 1
    with pytest.raises(StopIteration) as end:
        generator.send("sent")
    assert end.value.value == 9
    second = items()
    next(second)
    with pytest.raises(StopIteration):
        second.throw(KeyError)
    third = items()
    next(third)
    third.close()
    assert seen == ["+", "sent", "-", "+", "thrown", "-", "+", "-"]


def test_an_asynchronous_generator_stays_inside_between_its_items(inside, seen):
    """Sent values, thrown errors and closing reach the body of an asynchronous generator too."""

    @inside()
    async def items():
        try:
            seen.append((yield 1))
            yield 2
        except KeyError:
            seen.append("thrown")
            yield 3
        finally:
            seen.append("closed")

    async def use():
        first = items()
        assert await anext(first) == 1
        assert await first.asend("sent") == 2
        with pytest.raises(StopAsyncIteration):
            await anext(first)
        second = items()
        await anext(second)
        assert await second.athrow(KeyError) == 3
        await second.aclose()

    assert inspect.isasyncgenfunction(items)
    asyncio.run(use())
    assert seen == ["+", "sent", "closed", "-", "+", "thrown", "closed", "-"]


def test_decorators_nest(inside, seen):
    """The outermost is entered first and left last."""

    @inside("a")
    @inside("b")
    def nothing():
        pass

    nothing()
    assert seen == ["+a", "+b", "-b", "-a"]


@pytest.mark.parametrize("thing", [type("Task", (), {}), 3], ids=["class", "number"])
def test_only_functions_are_decorated(inside, thing):
    """Decorating a class, or an object that cannot be called, fails when the decorator is applied."""
    with pytest.raises(TypeError, match="only functions can be decorated"):
        inside()(thing)


def held(function):
    """Return the function that Angreal holds and will call."""
    return function.__dict__["__command"].func


def test_under_a_command(inside, seen):
    """Angreal's decorators above ours find the attributes that they set, with an argument on either side."""

    @angreal.command(name="under", about="")
    @inside()
    @angreal.argument(name="n", long="n")
    def below(n):
        return n

    @angreal.command_group("some", about="")()
    @angreal.command(name="under-both", about="")
    @angreal.argument(name="n", long="n")
    @inside()
    def above(n):
        return n

    for function in (below, above):
        assert [argument["name"] for argument in function.__dict__["__arguments"]] == ["n"]
        assert held(function)(n=7) == 7
    assert seen == ["+", "-"] * 2


def test_over_a_command(inside, seen):
    """The function that Angreal already holds also runs in the context, with its closure, defaults and arguments."""
    free = 10

    @angreal.command_group("some", about="")()
    @inside("a")
    @inside("b")
    @angreal.command(name="over", about="")
    @angreal.argument(name="n", long="n")
    def over(n, step=1, *, more=100):
        """Add."""
        return n + step + more + free

    assert held(over) is over
    assert held(over)(n=1000) == over(1000) == 1111
    assert over(0, 2, more=3) == 15
    assert seen == ["+a", "+b", "-b", "-a"] * 3
    assert (over.__name__, over.__doc__) == ("over", "Add.")
    assert str(inspect.signature(over)) == "(n, step=1, *, more=100)"


def test_over_a_decorator_over_a_command(inside, seen):
    """`functools.wraps` copies Angreal's mark outwards; Angreal calls the innermost function that has it."""

    def loud(function):
        @functools.wraps(function)
        def wrapper():
            seen.append("loud")
            return function()

        return wrapper

    @inside()
    @loud
    @angreal.command(name="inner", about="")
    def inner():
        return 5

    assert (held(inner)(), inner()) == (5, 5)
    assert seen == ["+", "-", "loud", "+", "-"]


def test_over_a_command_that_is_no_function(inside):
    """An object of another decorator cannot get another body, so decorating it fails when the file is read."""

    class Wrapper:
        def __call__(self):
            pass

    with pytest.raises(TypeError, match=r"below `@angreal\.command`"):
        inside()(angreal.command(name="object", about="")(Wrapper()))


def test_where_a_function_is_defined(inside):
    """The file of the innermost function counts, for methods too; code that is in no file has no directory."""
    here = __file__.rpartition("/")[0]
    assert defining_directory(held) == here
    assert defining_directory(inside()(inside()(held))) == here
    assert defining_directory(classmethod(held)) == here
    namespace = {}
    exec("def unknown(): pass", namespace)
    assert defining_directory(namespace["unknown"]) is None


def test_where_a_task_is_defined(tmp_path, monkeypatch):
    """Angreal runs task files without a name; they are in the directory `.angreal` above the current directory."""
    (tmp_path / ".angreal").mkdir()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    namespace = {}
    exec("def task(): pass", namespace)
    assert defining_directory(namespace["task"]) == str(tmp_path / ".angreal")
