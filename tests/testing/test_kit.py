"""Every check of the kit: passed by a correct backend, failed by one that breaks just that promise, and by nothing else."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Annotated, Any

import heavy_module
import numpy as np
import pytest
import tints
import wrong

from artgen.backend import TrainOptions
from artgen.errors import OptionError, UnknownBackendError, UsageError
from artgen.options import Meta, Options
from artgen.testing import CHECKS, Check, check_backend, conformance
from artgen.testing.kit import WORK
from artgen.testing.samples import MODALITIES, own_works, sources

pytest_plugins = ["pytester"]

CASES = {"light-import": (heavy_module.Heavy, "it brings torch"), **wrong.CASES}


@pytest.fixture(autouse=True, scope="module")
def _release() -> Any:
    yield
    wrong.RELEASE.set()


def failed(findings: list[Check]) -> dict[str, str]:
    return {finding.name: finding.reason for finding in findings if finding.state == "failed"}


def one(cls: type, name: str, **more: Any) -> Check:
    (finding,) = check_backend(cls, only=[name], **more)
    return finding


def test_a_correct_backend_passes_every_check() -> None:
    found = check_backend(tints.Tints)
    assert [finding.name for finding in found] == list(CHECKS)
    assert [(finding.name, finding.reason) for finding in found if finding.state != "passed"] == []
    assert all(finding.seconds >= 0 and not finding.reason for finding in found)


def test_every_check_has_a_wrong_backend() -> None:
    assert list(CASES) == list(CHECKS)


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_backend_fails_exactly_its_check(name: str) -> None:
    cls, told = CASES[name]
    found = failed(check_backend(cls))
    assert list(found) == [name], found
    assert told in found[name]
    assert found[name].startswith("expected ")
    assert "\n" not in found[name]


def test_a_backend_that_needs_the_network_fails_offline_alone() -> None:
    found = failed(check_backend(wrong.Dependent, only=WORK))
    assert list(found) == ["offline"]
    assert "example.invalid:80" in found["offline"]


def test_the_process_is_as_it_was_after_a_backend_that_changes_it() -> None:
    class Careless(tints.Tints):
        """Changes all it can."""

        def _colour(self, model: Any) -> Any:
            import torch

            random.seed(1)
            np.random.seed(1)
            torch.manual_seed(1)
            torch.set_default_dtype(torch.float64)
            torch.set_grad_enabled(False)
            np.seterr(all="raise")
            warnings.simplefilter("ignore")
            monkey.setenv("TINTS", "1")
            return super()._colour(model)

    import torch

    with pytest.MonkeyPatch.context() as monkey:
        before = (random.getstate(), torch.get_rng_state().tolist(), np.geterr(), list(warnings.filters))
        reason = one(Careless, "global-state").reason
        assert (random.getstate(), torch.get_rng_state().tolist(), np.geterr(), list(warnings.filters)) == before
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    for name in ("random", "numpy.random", "torch's generator", "default dtype", "grad mode", "numpy's error handling"):
        assert name in reason


def test_environment_and_warnings_count_in_the_second_life() -> None:
    class Loud(tints.Tints):
        """Sets a variable and a filter."""

        def _colour(self, model: Any) -> Any:
            import os

            os.environ["TINTS_LOUD"] = "1"
            warnings.simplefilter("ignore")
            return super()._colour(model)

    reason = one(Loud, "global-state").reason
    assert "its second run changed the environment (TINTS_LOUD), the warnings filters" in reason


class Spread(Options):
    size: Annotated[int, Meta(description="Just a number.")] = 3


def variant(**changes: Any) -> type[tints.Tints]:
    return type("Variant", (tints.Tints,), {"__doc__": "One thing is otherwise.", "__module__": tints.__name__, **changes})


@pytest.mark.parametrize(
    ("check", "changes", "told"),
    [
        ("described", {"name": "Two Words"}, "small letters"),
        ("described", {"summary": ""}, "summary to be text"),
        ("described", {"summary": "two\nlines"}, "one line"),
        ("described", {"modality": "smell"}, "it is 'smell'"),
        ("described", {"modality": "imag"}, "did you mean image?"),
        ("described", {"name": "gan"}, "image.gan is another backend, of artgen"),
        ("described", {"api_version": 99}, "write api_version = 1"),
        ("described", {"__doc__": ""}, "docstring"),
        ("verbs", {"Train": Spread}, "Train to extend TrainOptions"),
        ("verbs", {"Evaluate": dict}, "Evaluate to extend artgen.options.Options"),
        ("verbs", {"__init__": lambda self, size: None}, "built without arguments"),
        ("verbs", {"generate": lambda self, model: iter(())}, "generate(model, seeds, options, progress)"),
        (
            "options-documented",
            {"Generate": type("Generate", (Options,), {"__annotations__": {"dim": bool}, "dim": False})},
            "--dim",
        ),
    ],
)
def test_what_a_declaration_is_told(check: str, changes: dict[str, Any], told: str) -> None:
    finding = one(variant(**changes), check)
    assert finding.state == "failed"
    assert told in finding.reason


def test_options_without_their_verb_are_noticed() -> None:
    from artgen.backend import Backend

    finding = one(variant(evaluate=Backend.evaluate, Evaluate=Spread), "verbs")
    assert "a method evaluate(), because Evaluate is declared" in finding.reason


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (lambda self, *given: iter(()), "generate to give 3 works, but it gave 0"),
        (lambda self, *given: iter("abc"), "it gave 3 of str"),
    ],
)
def test_what_verbs_give_is_looked_at(result: Any, told: str) -> None:
    finding = one(variant(generate=result), "runs")
    assert finding.state == "failed"
    assert told in finding.reason or "AttributeError" in finding.reason


def test_a_model_of_another_name_is_noticed() -> None:
    class Elsewhere(tints.Tints):
        """Saves under another name."""

        def _save(self, run: Any, colour: Any) -> Any:
            from dataclasses import replace

            return super()._save(replace(run, backend="image.other"), colour)

    assert "image.other" in one(Elsewhere, "runs").reason


def test_a_pickle_that_is_read_is_seen() -> None:
    class Reading(tints.Tints):
        """Reads an array of objects."""

        def _colour(self, model: Any) -> Any:
            place = model.folder.parent / "objects.npy"
            np.save(place, np.array([{"a": 1}], dtype=object), allow_pickle=True)
            np.load(place, allow_pickle=True)
            return super()._colour(model)

    assert "no pickle" in one(Reading, "no-pickle").reason


def test_files_elsewhere_and_changed_sources_are_seen(tmp_path: Path) -> None:
    class Outside(tints.Tints):
        """Writes beside everything."""

        def _colour(self, model: Any) -> Any:
            (tmp_path / "tints.txt").write_text("x")
            return super()._colour(model)

    class Touching(tints.Tints):
        """Marks the sources it has read."""

        def _small(self, path: Path, gain: float) -> Any:
            pixels = super()._small(path, gain)
            path.write_bytes(path.read_bytes() + b" ")
            return pixels

    assert str(tmp_path / "tints.txt") in one(Outside, "no-leftovers").reason
    assert "it changed " in one(Touching, "no-leftovers").reason


def test_progress_that_cannot_be_shown_is_seen() -> None:
    class Odd(tints.Tints):
        """Advances what was not begun."""

        def _colour(self, model: Any) -> Any:
            return super()._colour(model)

        def generate(self, model: Any, seeds: Any, options: Any, progress: Any = None) -> Any:
            progress.advance()
            yield from super().generate(model, seeds, options)

    assert "advance() was called outside start() and finish()" in one(Odd, "progress-balanced").reason


def test_an_error_that_names_nothing_is_no_sentence() -> None:
    class Terse(tints.Tints):
        """Says too little."""

        def prepare(self, sources: Any, *given: Any) -> Any:
            try:
                return super().prepare(sources, *given)
            except UsageError:
                raise UsageError("there was nothing to be found") from None

    assert "that names it" in one(Terse, "errors-sources").reason


def test_expected_failures_are_strict() -> None:
    known = {"scores": "the numbers explain themselves"}
    assert one(wrong.Speechless, "scores", expected=known) == Check(
        "scores", "expected", known["scores"], pytest.approx(0, abs=1e9)
    )
    passing = one(tints.Tints, "scores", expected=known)
    assert passing.state == "failed"
    assert passing.reason == "it passes, but was expected to fail (the numbers explain themselves); take it out of the list"


def test_what_does_not_apply_is_skipped_with_a_reason() -> None:
    from artgen.backend import Backend

    changes: dict[str, Any] = {verb: getattr(Backend, verb) for verb in ("train", "generate", "modify", "evaluate")}
    declared = {"Train": TrainOptions, "Generate": Options, "Modify": Options}
    found = {finding.name: finding for finding in check_backend(variant(**changes, **declared))}
    assert failed(list(found.values())) == {}
    assert found["resume"] == Check("resume", "skipped", "it does not train", found["resume"].seconds)
    assert found["same-seed"].reason == "it does not generate"
    assert found["errors-sources"].state == "passed"


def test_options_reach_the_verbs_and_wrong_ones_are_the_callers_mistake() -> None:
    assert one(tints.Tints, "runs", options={"generate": {"grain": 3}}).state == "passed"
    assert one(tints.Tints, "different-seeds", options={"generate": {"grain": 0}}).state == "failed"
    with pytest.raises(OptionError, match=r"--grain takes 0 to 64, not 65"):
        one(tints.Tints, "runs", options={"generate": {"grain": 65}})
    with pytest.raises(UsageError, match=r"options for 'create'"):
        one(tints.Tints, "runs", options={"create": {}})


def test_names_that_are_none() -> None:
    with pytest.raises(UsageError, match=r"no check 'resum'; did you mean resume\?"):
        check_backend(tints.Tints, only=["resum"])
    with pytest.raises(UsageError, match=r"no check 'speed'"):
        check_backend(tints.Tints, expected={"speed": "slow"})
    with pytest.raises(UsageError, match=r"'gan' is no full name"):
        check_backend("gan")
    with pytest.raises(UnknownBackendError):
        check_backend("image.nothing")


def test_an_installed_backend_by_name() -> None:
    assert [finding.state for finding in check_backend("image.gan", only=["described", "verbs", "usable"])] == ["passed"] * 3


@pytest.mark.parametrize("modality", MODALITIES)
def test_samples_are_the_same_each_time(modality: str, tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    for make in (sources, own_works):
        folders = [tmp_path / f"{make.__name__}-{number}" for number in range(2)]
        made = [make(modality, folder) for folder in folders]
        assert made[0]
        assert all(place.exists() for place in made[0])
        assert content(folders[0]) == content(folders[1]) != {}
    assert sources("smell", tmp_path / "none") is None


def test_pytest_names_every_check(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n")
    pytester.makepyfile("""
        from artgen.testing import conformance
        from tints import Tints
        from wrong import Deaf

        test_contract = conformance(Tints)
        calls = []

        @conformance(Deaf, expected={"different-seeds": "there is one colour", "scores": "wrongly expected"})
        def test_deaf(check):
            calls.append(check.name)
            check()

        def test_called():
            assert "resume" in calls
    """)
    result = pytester.runpytest_inprocess("-v", "-p", "no:cacheprovider")
    count = len(CHECKS)
    result.assert_outcomes(passed=2 * count - 2 + 1, xfailed=1, failed=1)
    result.stdout.fnmatch_lines(["*::test_contract[[]light-import] PASSED*"])
    result.stdout.fnmatch_lines(["*::test_contract[[]errors-inputs] PASSED*"])
    result.stdout.fnmatch_lines(["*it passes, but was expected to fail (wrongly expected); take it out of the list*"])


def test_pytest_skips_what_does_not_apply() -> None:
    from artgen.backend import Backend

    test = conformance(variant(evaluate=Backend.evaluate, Evaluate=Options))
    items = {item.name: item for item in test.pytestmark[0].args[1]}  # type: ignore[attr-defined]
    with pytest.raises(pytest.skip.Exception, match="it does not evaluate"):
        items["scores"]()
    with pytest.raises(UsageError, match="no check"):
        conformance(tints.Tints, expected={"nothing": "none"})
