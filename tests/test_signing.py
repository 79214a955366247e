"""Signatures: made with a chain of one's own, read back, broken by any change; mistakes cost no work."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noise_fixtures import model, place  # noqa: F401 - fixtures

from artgen import signing
from artgen.artwork import Artwork, Audio, Image, Video
from artgen.cli import main
from artgen.describe import show
from artgen.errors import ArtgenError, UsageError
from artgen.recipe import GENERATED, Recipe
from artgen.signing import Signature

pytest.importorskip("c2pa", reason="the extra c2pa is not installed")
# ruff: noqa: F811 - fixtures are imported and then named as arguments


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Path]]:
    """Certificates by an authority of one's own: ``chain("P-256")`` gives the files of a chain and of its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    folder = tmp_path_factory.mktemp("certificates")
    kinds: dict[str, Callable[[], Any]] = {
        "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "RSA": lambda: rsa.generate_private_key(65537, 2048),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
        "DSA": lambda: ec.generate_private_key(ec.SECP256K1()),
    }

    def named(name: str) -> x509.Name:
        attributes = [(NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "A Studio"), (NameOID.COMMON_NAME, name)]
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in attributes])

    above = ec.generate_private_key(ec.SECP256R1())

    def certificate(name: str, key: Any, *, authority: bool, ended: bool = False) -> x509.Certificate:
        now = datetime.now(UTC)
        usage = x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        built = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("Studio Authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now - timedelta(days=30) if ended else now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(authority, None), True)
            .add_extension(usage, True)
            .add_extension(own, False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), False)
        )
        if not authority:
            built = built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        return built.sign(above, hashes.SHA256())

    def make(kind: str = "P-256", *, ended: bool = False) -> tuple[Path, Path]:
        where = folder / f"{kind}{'-ended' if ended else ''}.pem"
        key = kinds[kind]()
        both = [certificate("A Maker", key, authority=False, ended=ended), certificate("Studio Authority", above, authority=True)]
        where.write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in both))
        secret = where.with_suffix(".key")
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        secret.write_bytes(key.private_bytes(*form))
        return where, secret

    return make


def works() -> list[tuple[Artwork, str]]:
    recipe = Recipe(artgen="1", verb="generate", backend="image.noise", seeds=(7,), options={"truncation": 0.7})
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found: list[tuple[Artwork, str]] = [(Image(pixels, recipe=recipe), ending) for ending in (".png", ".jpg", ".webp", ".tif")]
    sound = Audio(np.zeros((4800, 1), np.float32), 48_000, recipe=recipe)
    clip = Video(np.stack([pixels] * 3), 10, recipe=recipe)
    return [*found, (sound, ".wav"), (sound, ".flac"), (clip, ".mp4"), (clip, ".gif")]


@pytest.mark.parametrize(("work", "ending"), works(), ids=[ending for _, ending in works()])
def test_every_format_with_a_place_is_signed(work: Artwork, ending: str, tmp_path: Path, chain: Any) -> None:
    path = work.save(tmp_path / f"a{ending}", sign=Signature.load(*chain()))
    told = show(path)
    assert told["signature"]["state"] in ("valid", "trusted")
    assert told["signature"]["by"] == "A Maker"
    assert (told["signature"]["vouched"], told["signature"]["faults"]) == (False, [])  # an authority of our own, and nothing wrong
    assert told["mark"] == GENERATED  # the signature costs neither mark nor recipe
    assert told["recipe"]["options"] == {"truncation": 0.7}
    import c2pa

    with c2pa.Reader(str(path)) as reader:
        manifests = json.loads(reader.json())["manifests"]
    (manifest,) = manifests.values()
    assertions = {each["label"]: each["data"] for each in manifest["assertions"]}
    assert assertions["c2pa.actions.v2"]["actions"][0]["digitalSourceType"] == GENERATED
    assert json.loads(assertions["org.artgen.recipe"]["recipe"])["seeds"] == [7]
    unsigned = work.save(tmp_path / f"b{ending}")
    assert "signature" not in show(unsigned)
    assert np.array_equal(type(work).decode(path).numpy(), type(work).decode(unsigned).numpy()) if ending == ".wav" else True


def test_a_change_breaks_the_signature(tmp_path: Path, chain: Any) -> None:
    work, _ = works()[0]
    path = work.save(tmp_path / "a.png", sign=Signature.load(*chain()))
    data = bytearray(path.read_bytes())
    data[-40] ^= 1  # in the last pixels
    path.write_bytes(data)
    told = signing.read(path)
    assert told is not None
    assert told["state"] == "invalid"
    assert "assertion.dataHash.mismatch" in told["faults"]


@pytest.mark.parametrize(("kind", "algorithm"), [("P-256", "es256"), ("P-384", "es384"), ("RSA", "ps256"), ("Ed25519", "ed25519")])
def test_every_kind_of_key(kind: str, algorithm: str, tmp_path: Path, chain: Any) -> None:
    signature = Signature.load(*chain(kind))
    assert signature.kind == algorithm
    path = works()[0][0].save(tmp_path / "a.png", sign=signature)
    assert signing.read(path)["state"] in ("valid", "trusted")  # type: ignore[index]


def test_recipe_none_tells_the_mark_alone(tmp_path: Path, chain: Any) -> None:
    path = works()[0][0].save(tmp_path / "a.png", recipe="none", sign=Signature.load(*chain()))
    data = path.read_bytes()
    assert b"truncation" not in data
    assert b"trainedAlgorithmicMedia" in data


def test_a_certificate_that_is_refused_keeps_the_work(tmp_path: Path, chain: Any) -> None:
    signature = Signature.load(*chain(ended=True))
    with pytest.raises(ArtgenError, match="saved, but not signed"):
        works()[0][0].save(tmp_path / "a.png", sign=signature)
    assert show(tmp_path / "a.png")["mark"] == GENERATED
    assert list(tmp_path.glob(".tmp*")) == []


def test_mistakes_are_found_before_any_work(tmp_path: Path, chain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = chain()
    _, other = chain("RSA")
    (tmp_path / "empty.pem").write_text("")
    cases = [
        ((tmp_path / "emty.pem", key), r"No such file or directory; did you mean .*empty\.pem\?"),
        ((tmp_path / "empty.pem", key), "no certificate in PEM"),
        ((certificate, tmp_path / "empty.pem"), "no key in PEM without a password"),
        ((certificate, other), "is not the key of the certificate"),
        (chain("DSA"), "C2PA takes keys of the kinds"),
    ]
    for given, sentence in cases:
        with pytest.raises(UsageError, match=sentence):
            Signature.load(*given)
    with pytest.raises(UsageError, match=r"a signature has no place in \.ogg; save as png"):
        works()[4][0].save(tmp_path / "a.ogg", sign=Signature.load(certificate, key))
    assert not (tmp_path / "a.ogg").exists()
    original = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "c2pa":
            raise ImportError(name)
        return original(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r'signing needs the extra c2pa; type: pip install "artgen\[c2pa\]"'):
        Signature.load(certificate, key)
    assert signing.read(tmp_path / "a.png") is None


def test_the_command_line_signs(model: Path, chain: Any, capsys: pytest.CaptureFixture[str]) -> None:
    certificate, key = map(str, chain())
    words = ["image", "generate", "--model", str(model), "--seed", "1", "--sign", certificate]
    assert main([*words, "--sign-key", key, "-o", "a.png"]) == 0
    assert main(["show", "a.png", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["signature"]["by"] == "A Maker"
    assert main(["replay", "a.png"]) == 0
    assert "identical content" in capsys.readouterr().out
    assert main([*words, "-o", "b.png"]) == 2
    assert capsys.readouterr().err == "artgen: --sign CERTIFICATE and --sign-key KEY belong together; give both\n"
    assert main(["text", "generate", "--sign", certificate]) == 2
    assert not Path("b.png").exists()
