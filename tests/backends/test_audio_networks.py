"""The mathematics of ``audio.rnn``: spectra, codebooks, the codec, the recurrence, the composer and its machine code."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from audio_models import TINY_CODEC, TINY_COMPOSER
from sample_sounds import noise, notes, sine
from torch import Tensor

from artgen.backends.audio.rnn import augment, plain, recurrence, spectral, streams
from artgen.backends.audio.rnn.codec import Codec
from artgen.backends.audio.rnn.composer import Composer
from artgen.backends.audio.rnn.plain_sampler import Writer
from artgen.backends.audio.rnn.presets import HOPS, LARGE, SKETCH, STANDARD, codec_network, composer_network
from artgen.backends.audio.rnn.quantiser import SPARE, Follower, Quantiser
from artgen.backends.audio.rnn.sampler import Listener, compose, weights_of
from artgen.metrics import sounds


def small_codec(channels: int = 1, hop: int = 64, **changes: Any) -> Codec:
    torch.manual_seed(1)
    shape: dict[str, Any] = {**TINY_CODEC, "decoder": 2, **changes}
    return Codec(rate=hop * 84, channels=channels, hop=hop, **shape).eval()


def small_composer(cell: str = "mingru") -> Composer:
    torch.manual_seed(2)
    composer = Composer(codebooks=3, size=16, cell=cell, **TINY_COMPOSER).eval()
    with torch.no_grad():
        for parameter in composer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return composer.requires_grad_(False)


def some_codes(frames: int = 20, batch: int = 2) -> Tensor:
    return torch.randint(16, (batch, 3, frames), generator=torch.Generator().manual_seed(0))


def wave(channels: int = 1, frames: int = 10, hop: int = 64) -> Tensor:
    return torch.from_numpy(noise(1.0, frames * hop, channels=channels).T.copy())[None]


# --- spectra


@pytest.mark.parametrize("hop", sorted({*HOPS.values(), 64}))
def test_spectra_and_back_give_the_sound(hop: int) -> None:
    sound = wave(frames=9, hop=hop)[:, 0]
    spectra = spectral.spectra(sound, hop)
    assert spectra.shape == (1, 9, 2 * hop + 1)
    assert (spectral.wave_of(spectra, hop) - sound).abs().max() < 1e-6


def test_a_full_scale_sine_has_magnitude_one() -> None:
    tone = torch.from_numpy(sine(1000, 1.0, 16_000, level=1.0)[:, 0])[None]
    assert spectral.magnitudes(tone, 512)[0, 20].max() == pytest.approx(1.0, abs=0.01)
    assert spectral.spectra(tone[:, :15872], 128).abs()[0, 20].max() == pytest.approx(1.0, abs=0.01)


def test_what_is_learned_is_what_is_measured() -> None:
    first, second = notes(1.0, seed=1), notes(1.0, seed=1) * 0.8 + noise(1.0, level=0.01)
    one, two = (torch.from_numpy(side.T.copy()) for side in (first, second))
    distance, logs = spectral.distances(one, two)
    assert float(distance) == pytest.approx(sounds.stft_distance(first, second), rel=0.05)
    assert float(logs) == pytest.approx(sounds.log_spectral_distance(first, second), rel=0.1)
    same, none = spectral.distances(one, one)
    assert float(same) == 0
    assert float(none) < 0.02


def test_the_distance_of_silence_can_be_learned_from() -> None:
    made = torch.zeros(1, 4096, requires_grad=True)
    distance, logs = spectral.distances(torch.zeros(1, 4096), made)
    (distance + logs).sum().backward()
    assert made.grad is not None
    assert torch.isfinite(made.grad).all()


# --- codebooks


def test_codes_say_the_latents_that_are_decoded() -> None:
    torch.manual_seed(0)
    quantiser, latents = Quantiser(4, 16, 6), torch.randn(2, 5, 6)
    found = quantiser(latents)
    assert found.codes.shape == (2, 4, 5)
    assert torch.allclose(quantiser.decode(found.codes), found.latents, atol=1e-6)
    distances = torch.cdist(latents.flatten(0, 1), quantiser.entries[0])
    assert torch.equal(distances.argmin(1), found.codes[:, 0].flatten())


def test_gradients_pass_the_quantiser_unchanged() -> None:
    latents = torch.randn(1, 5, 6, requires_grad=True)
    weight = torch.randn(1, 5, 6)
    (Quantiser(2, 16, 6)(latents).latents * weight).sum().backward()
    assert latents.grad is not None
    assert torch.allclose(latents.grad, weight)


def test_codebooks_begin_in_use_and_each_says_what_the_ones_before_left() -> None:
    torch.manual_seed(0)
    latents = torch.randn(600, 6) + 5
    quantiser = Quantiser(3, 16, 6)
    Follower(quantiser).begin(quantiser, latents, torch.Generator().manual_seed(0))
    found = quantiser(latents[None])
    assert all(len(found.codes[:, book].unique()) == 16 for book in range(3))
    errors = [float((latents - quantiser.decode(found.codes[:, :count])[0]).square().mean()) for count in (1, 2, 3)]
    assert errors[0] < latents.var()
    assert errors[0] > errors[1] > errors[2]


def test_entries_follow_what_they_are_used_for_and_unused_ones_come_back() -> None:
    torch.manual_seed(0)
    quantiser = Quantiser(1, 8, 2)
    follower = Follower(quantiser)
    cloud = torch.randn(400, 2) * 0.1
    follower.begin(quantiser, cloud, torch.Generator().manual_seed(0))
    moved = cloud + 100.0
    for _ in range(150):
        found = quantiser(moved[None])
        follower.note(found, torch.rand(SPARE))
        follower.follow(quantiser, revive=True)
    found = quantiser(moved[None])
    assert len(found.codes.unique()) >= 7
    assert float((found.latents - moved).square().mean()) < 0.01


def test_without_reviving_an_unused_entry_stays() -> None:
    quantiser = Quantiser(1, 4, 2)
    follower = Follower(quantiser)
    follower.begin(quantiser, torch.randn(50, 2), torch.Generator().manual_seed(0))
    for _ in range(150):
        follower.note(quantiser(torch.full((1, 9, 2), 50.0)), torch.rand(SPARE))
        follower.follow(quantiser, revive=False)
    assert int((quantiser.entries[0].norm(dim=1) > 40).sum()) == 1


def test_noting_a_batch_in_slices_is_noting_it_whole() -> None:
    quantiser = Quantiser(2, 8, 3)
    whole, slices = Follower(quantiser), Follower(quantiser)
    latents = torch.randn(4, 6, 3)
    whole.note(quantiser(latents), torch.rand(SPARE))
    for row in latents:
        slices.note(quantiser(row[None]), torch.rand(SPARE))
    assert torch.equal(whole.new_uses, slices.new_uses)
    assert torch.allclose(whole.new_sums, slices.new_sums, atol=1e-5)


# --- the codec


@pytest.mark.parametrize("channels", [1, 2])
def test_the_codec_keeps_lengths(channels: int) -> None:
    codec = small_codec(channels)
    codes = codec.encode(wave(channels))
    assert codes.shape == (1, 3, 10)
    assert codec.decode(codes).shape == (1, channels, 640)
    assert codec.decode(codes[:, :1]).shape == (1, channels, 640)
    assert codec.encode(wave(channels)[..., :600]).shape == (1, 3, 10)
    assert codec.encode(wave(channels)[..., :3]).shape == (1, 3, 1)


def test_nothing_reaches_further_than_the_margin() -> None:
    codec = small_codec()
    first = wave(frames=60)
    second = first.clone()
    second[..., 30 * 64 : 31 * 64] += 0.5
    changed = (codec.latents(first) - codec.latents(second)).abs().amax((0, 2)).nonzero()[:, 0]
    assert 30 - codec.margin < int(changed.min())
    assert int(changed.max()) < 31 + codec.margin
    codes = codec.encode(first)
    other = codes.clone()
    other[..., 30] = (other[..., 30] + 1) % 16
    heard = (codec.decode(codes) - codec.decode(other)).abs()[0, 0].nonzero()[:, 0] // 64
    assert 30 - codec.margin < int(heard.min())
    assert int(heard.max()) < 31 + codec.margin


@pytest.mark.parametrize("cuts", [[640 * 64], [1], [64 * 100 + 7, 64 * 200]])
def test_a_sound_in_pieces_has_the_codes_and_samples_of_the_whole(cuts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PIECE", 32)
    codec = small_codec(2)
    sound = noise(1.0, 300 * 64 + 5, channels=2)
    parts = np.split(sound, [cut for cut in cuts if cut < len(sound)])
    codes = streams.encoded(codec, parts)
    whole = codec.encode(torch.from_numpy(sound.T.copy())[None])[0].numpy()
    assert codes.shape == (3, 301)
    assert (codes == whole).mean() > 0.99  # the last bits of a latent may put it on the other side of an edge
    made = np.concatenate(list(streams.decoded(codec, codes)))
    again = codec.decode(torch.from_numpy(codes.astype(np.int64))[None])[0].detach().numpy().T
    assert made.shape == (301 * 64, 2)
    assert np.abs(made - again).max() < 1e-5


def test_no_sound_has_no_codes() -> None:
    assert streams.encoded(small_codec(), []).shape == (3, 0)
    assert list(streams.decoded(small_codec(), np.zeros((3, 0), np.int16))) == []


def test_presets_keep_to_what_is_promised() -> None:
    for plan in (SKETCH, STANDARD, LARGE):
        assert plan.codec["codebooks"] <= 8
    network = codec_network(STANDARD, 22_050, 1)
    both = (Codec(**network), Composer(**composer_network(STANDARD, network)))
    size = sum(tensor.numel() for module in both for tensor in module.state_dict().values())
    assert 2 * size < 8_000_000
    assert {rate: round(rate / codec_network(SKETCH, rate, 1)["hop"]) for rate in HOPS} == {
        16_000: 83, 22_050: 86, 24_000: 83, 32_000: 83, 44_100: 86
    }  # fmt: skip


# --- the recurrence


def slow_scan(gate: Tensor, new: Tensor, first: Tensor) -> Tensor:
    states = []
    for step in range(gate.shape[1]):
        update = torch.sigmoid(gate[:, step])
        first = (1 - update) * first + update * new[:, step]
        states.append(first)
    return torch.stack(states, 1)


@pytest.mark.parametrize("length", [1, 2, 9, 37])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_scan_and_its_gradient_are_those_of_the_loop(length: int, chunked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if chunked:  # what a GPU does
        monkeypatch.setattr(recurrence, "_sequential", lambda device: False)
    torch.manual_seed(0)
    inputs = [torch.randn(2, length, 3), torch.randn(2, length, 3), torch.randn(2, 3)]
    weight = torch.randn(2, length, 3)
    results = []
    for way in (recurrence.scan, slow_scan):
        given = [one.clone().requires_grad_(True) for one in inputs]
        states = way(*given)
        (states * weight).sum().backward()  # type: ignore[no-untyped-call]
        results.append([states.detach(), *(one.grad for one in given)])
    for one, two in zip(*results, strict=True):
        assert one is not None
        assert two is not None
        assert torch.allclose(one, two, atol=1e-5), float((one - two).abs().max())


# --- the composer


@pytest.mark.parametrize("cell", ["mingru", "gru"])
def test_a_code_depends_on_nothing_after_it(cell: str) -> None:
    composer, codes = small_composer(cell), some_codes(8, 1)
    before = composer(codes).view(3, 8, 16)
    for frame, book in ((3, 1), (7, 2), (0, 0)):
        other = codes.clone()
        other[0, book, frame] = (other[0, book, frame] + 5) % 16
        changed = (composer(other).view(3, 8, 16) - before).abs().amax(2) > 1e-7  # [K, T]
        assert not changed[:, :frame].any()
        assert not changed[: book + 1, frame].any()
        assert changed[book + 1 :, frame].all()
        assert changed[:, frame + 1 :].all()


@pytest.mark.parametrize("cell", ["mingru", "gru"])
def test_what_was_listened_to_counts_as_if_it_was_read_again(cell: str) -> None:
    composer, codes = small_composer(cell), some_codes()
    whole = composer.loss(codes)
    state = composer.listen(codes[:, :, :9])
    assert torch.allclose(composer.loss(codes[:, :, 8:], state), whole[:, :, 9:], atol=1e-5)
    later = composer.listen(codes[:, :, 8:15], state)
    assert torch.allclose(composer.loss(codes[:, :, 14:], later), whole[:, :, 15:], atol=1e-5)


def test_machine_code_computes_what_torch_does() -> None:
    composer, codes = small_composer(), some_codes(30, 1)
    wanted = float(composer.loss(codes).sum())
    listener = Listener(weights_of(composer), 0)
    assert listener.read(codes[0].numpy().astype(np.int16)) == pytest.approx(wanted, rel=1e-5)
    assert listener.nats == pytest.approx(wanted, rel=1e-5)


def test_how_much_is_written_at_once_has_no_say() -> None:
    weights = weights_of(small_composer())
    whole = compose(weights, 50, seed=7)
    listener = Listener(weights, 7)
    assert np.array_equal(np.concatenate([listener.write(1), listener.write(30), listener.write(19)], 1), whole)
    assert not np.array_equal(compose(weights, 50, seed=8), whole)
    other = Listener(weights, 7, stream=1)
    assert not np.array_equal(other.write(50), whole)


def still_composer() -> Composer:
    """One that always says the same, but not at its very beginning."""
    composer = small_composer()
    with torch.no_grad():
        composer.biases[:, 3] = 40.0
        composer.aim.weight.zero_()
        composer.aim.bias.zero_()
    return composer


def test_what_stands_still_begins_anew_after_a_rest() -> None:
    weights = weights_of(still_composer())
    listener = Listener(weights, 0)
    assert np.unique(listener.write(30)).tolist() == [3]
    assert listener._still.tolist() == [29, 3, 3, 3]
    rested = Listener(weights, 0)
    rested.write(11, rest=5)  # the frames 1 to 5 change nothing, and 6 to 10 do not
    assert rested._still.tolist() == [0, 3, 3, 3]
    assert not rested._memory.any()
    assert np.array_equal(rested._frame, weights.begin)


def test_a_rest_is_the_same_however_it_is_cut() -> None:
    weights = weights_of(small_composer())
    whole = Listener(weights, 7).write(60, rest=1, top_k=2, temperature=0.3)
    listener = Listener(weights, 7)
    parts = [listener.write(count, rest=1, top_k=2, temperature=0.3) for count in (1, 1, 5, 20, 33)]
    assert np.array_equal(np.concatenate(parts, 1), whole)


def test_a_copy_goes_on_alike_and_leaves_the_first_alone() -> None:
    listener = Listener(weights_of(small_composer()), 7)
    listener.write(5)
    copy = listener.copy()
    assert np.array_equal(copy.write(9), listener.write(9))


def test_temperature_and_filters_choose_as_they_say() -> None:
    composer = small_composer()
    weights = weights_of(composer)
    likeliest = compose(weights, 12, seed=0, temperature=0)
    assert np.array_equal(compose(weights, 12, seed=5, top_k=1), likeliest)
    assert np.array_equal(compose(weights, 12, seed=6, top_p=1e-6), likeliest)
    codes = torch.from_numpy(likeliest.astype(np.int64))[None]
    assert torch.equal(composer(codes).argmax(2).view(3, 12), codes[0])
    logits = composer(torch.zeros(1, 3, 1, dtype=torch.long))[0, 0]
    drawn = [int(compose(weights, 1, seed=seed, top_k=4)[0, 0]) for seed in range(200)]
    allowed = set(logits.topk(4).indices.tolist())
    assert set(drawn) <= allowed
    plain_draws = [int(compose(weights, 1, seed=seed)[0, 0]) for seed in range(2000)]
    chances = torch.softmax(logits, 0).numpy()
    assert np.abs(np.bincount(plain_draws, minlength=16) / 2000 - chances).max() < 0.05


# --- the plain network


def test_every_level_is_a_sample_that_has_that_level() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(plain.compress(plain.expand(levels)), levels)
    assert abs(float(plain.expand(np.array([plain.silence()], np.uint8))[0])) < 1e-4 + 1 / 255 / 5.5
    assert plain.compress(np.array([2.0, -2.0], np.float32)).tolist() == [255, 0]


def test_machine_code_of_the_plain_network_computes_what_torch_does() -> None:
    torch.manual_seed(0)
    network = plain.Plain(width=12).requires_grad_(False)
    levels = plain.compress(sine(440, 0.02)[:, 0])
    whole = torch.from_numpy(np.concatenate([[plain.silence()], levels]).astype(np.int64))[None]
    writer = Writer(plain.weights_of(network), 0)
    assert writer.read(levels) == pytest.approx(float(network.loss(whole).sum()), rel=1e-5)
    one, two = Writer(plain.weights_of(network), 4), Writer(plain.weights_of(network), 4)
    assert np.array_equal(one.write(60), np.concatenate([two.write(1), two.write(59)]))
    whole_rest = Writer(plain.weights_of(network), 4).write(200, rest=1, top_k=2)
    cut = Writer(plain.weights_of(network), 4)
    assert np.array_equal(np.concatenate([cut.write(count, rest=1, top_k=2) for count in (1, 2, 3, 94, 100)]), whole_rest)
    assert not np.array_equal(Writer(plain.weights_of(network), 4).write(200, top_k=2), whole_rest)
    first, second = (Writer(plain.weights_of(network), seed).write(9, temperature=0) for seed in (1, 2))
    assert np.array_equal(first, second)


# --- variations


def loudest(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate / len(samples))


def test_nothing_asked_for_changes_nothing() -> None:
    sound = wave(2)
    made = augment.varied(sound, sound, 600, torch.rand(1, augment.DRAWS), semitones=0, gain=0, polarity=False, mixing=0)
    assert torch.equal(made, sound[..., :600])


def test_speed_moves_the_pitch() -> None:
    tone = torch.from_numpy(sine(440, 1.0).T.copy())[None].repeat(2, 1, 1)
    made = augment.at_speed(tone, torch.tensor([1.0, 1.5]), 11_025)
    assert (made[0] - tone[0, :, :11_025])[:, 20:].abs().max() < 0.01
    assert loudest(made[1, 0].numpy(), 22_050) == pytest.approx(660, abs=3)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_stretching_keeps_the_pitch(factor: float) -> None:
    tone = torch.from_numpy(sine(440, 1.0).T.copy())
    made = augment.stretched(tone, factor)
    assert made.shape == (1, round(22_050 * factor))
    assert loudest(made[0].numpy(), 22_050) == pytest.approx(440, abs=3)
    assert float(made.square().mean().sqrt()) == pytest.approx(float(tone.square().mean().sqrt()), rel=0.1)
    assert augment.stretched(tone, 1.0) is tone


def test_transposing_moves_the_pitch_alone() -> None:
    tone = torch.from_numpy(sine(440, 1.0).T.copy())
    made = augment.transposed(tone, 12.0, 1.0)
    assert made.shape == tone.shape
    assert loudest(made[0, 1000:20_000].numpy(), 22_050) == pytest.approx(880, abs=6)


@pytest.mark.parametrize(
    ("asked", "place", "draw", "wanted"),
    [({"gain": 20.0}, 2, 0.25, 0.1), ({"polarity": True}, 3, 0.9, -1.0), ({"polarity": True}, 3, 0.1, 1.0)],
)
def test_each_variation_is_what_its_number_says(asked: dict[str, Any], place: int, draw: float, wanted: float) -> None:
    sound = wave()
    draws = torch.zeros(1, augment.DRAWS)
    draws[0, place] = draw
    options: dict[str, Any] = {"semitones": 0, "gain": 0, "polarity": False, "mixing": 0, **asked}
    made = augment.varied(sound, sound, 640, draws, **options)
    assert torch.allclose(made, sound * wanted, atol=1e-6)


def test_mixing_puts_another_sound_behind_some() -> None:
    sound, other = torch.zeros(2, 1, 50), torch.ones(2, 1, 50)
    draws = torch.zeros(2, augment.DRAWS)
    draws[:, 1] = torch.tensor([0.1, 0.9])
    made = augment.varied(sound, other, 50, draws, semitones=0, gain=0, polarity=False, mixing=0.5)
    assert float(made[0].max()) > 0.3
    assert float(made[1].abs().max()) == 0
    assert augment.reach(12) == pytest.approx(2.0)
    assert math.isclose(augment.reach(0), 1.0)
