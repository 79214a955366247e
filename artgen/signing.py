"""Signatures by C2PA (Content Credentials): who made a work, and that nothing of it was changed since; the extra ``c2pa``.

The signature stands in the file beside the recipe and the mark; it is made with the user's own certificate and key, offline.
Source: C2PA Technical Specification 2.2, "Actions" and "Digital source type".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artgen.errors import ArtgenError, UsageError
from artgen.files import similar, write_atomically

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif", ".wav", ".flac", ".mp4", ".mov")
"""The files that can carry a signature."""

_MISSING = 'signing needs the extra c2pa; type: pip install "artgen[c2pa]"'


@dataclass(frozen=True)
class Signature:
    """A certificate with its key, in PEM: ``certificate`` is the chain, the signer's own first, ``kind`` the algorithm."""

    certificate: str
    key: str
    kind: str

    @classmethod
    def load(cls, certificate: str | Path, key: str | Path) -> Signature:
        """Open a certificate (PEM, the signer's own first, then those above it) and its key (PEM, PKCS #8, without a password).

        Raises:
            UsageError: the extra is missing, a file is not there or not of this kind, or the two do not belong together.
        """
        try:
            import c2pa
            from cryptography import x509
            from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
        except ImportError:
            raise UsageError(_MISSING) from None
        del c2pa
        chain, secret = _read(certificate, "--sign"), _read(key, "--sign-key")
        try:
            own = x509.load_pem_x509_certificates(chain)[0]
        except ValueError:
            raise UsageError(f"--sign {certificate}: no certificate in PEM; it begins with -----BEGIN CERTIFICATE-----") from None
        try:
            opened = load_pem_private_key(secret, None)
        except (ValueError, TypeError):
            raise UsageError(
                f"--sign-key {key}: no key in PEM without a password; it begins with -----BEGIN PRIVATE KEY-----"
            ) from None
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if own.public_key().public_bytes(*form) != opened.public_key().public_bytes(*form):
            raise UsageError(f"--sign-key {key} is not the key of the certificate {certificate}; give the two that belong together")
        return cls(chain.decode(), secret.decode(), _algorithm(opened, key))

    def check(self, ending: str) -> None:
        """Refuse a kind of file that has no place for a signature, before any work is made.

        Raises:
            UsageError: it has none.
        """
        if ending.lower() not in ENDINGS:
            allowed = ", ".join(each[1:] for each in ENDINGS)
            raise UsageError(f"--sign: a signature has no place in {ending or 'a file without an ending'}; save as {allowed}")

    def sign(self, path: Path, told: str, mark: str) -> None:
        """Sign the file at ``path`` where it is; ``told`` is its recipe as the file tells it, ``mark`` its digital source type.

        Raises:
            ArtgenError: the certificate is refused (self-signed, run out, not for signing documents); the file stays as it was.
        """
        import c2pa

        manifest = _manifest(path, told, mark)
        try:
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(self.kind, self.certificate.encode(), self.key.encode(), None))
            with signer, c2pa.Builder.from_json(json.dumps(manifest)) as builder:
                write_atomically(path, lambda temporary: _sign_into(builder, signer, path, temporary))
        except c2pa.C2paError as error:
            raise ArtgenError(
                f"{path}: saved, but not signed: {_plain(error)}; see docs/marking.md for what a certificate needs"
            ) from None


def read(path: str | Path) -> dict[str, Any] | None:
    """What the signature of a file says, as plain values; None where there is none, or the extra ``c2pa`` is not installed.

    ``state`` is ``trusted`` or ``valid`` (unchanged since it was signed; by whom is for the reader to judge) or ``invalid``;
    ``vouched`` says whether an authority that the reader's computer knows stands behind the signer.
    """
    if Path(path).suffix.lower() not in ENDINGS:
        return None
    try:
        import c2pa
    except ImportError:
        return None
    try:
        with c2pa.Reader(str(path)) as reader:
            told = json.loads(reader.json())
    except c2pa.C2paError:
        return None
    active = told["manifests"][told["active_manifest"]]
    signed = active.get("signature_info", {})
    faults = [each["code"] for each in told.get("validation_results", {}).get("activeManifest", {}).get("failure", [])]
    state = str(told.get("validation_state", "invalid")).lower()
    by = signed.get("common_name") or signed.get("issuer", "")
    # A signer whom nobody vouches for is no fault of the file: beside "valid" it would read as one.
    wrong = [each for each in faults if each != _UNVOUCHED]
    return {"state": state, "by": by, "vouched": _UNVOUCHED not in faults, "faults": wrong}


_UNVOUCHED = "signingCredential.untrusted"


def _manifest(path: Path, told: str, mark: str) -> dict[str, Any]:
    from artgen import __version__

    maker = {"name": "artgen", "version": __version__}
    action = {"action": "c2pa.created", "softwareAgent": maker, **({"digitalSourceType": mark} if mark else {})}
    assertions: list[dict[str, Any]] = [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]
    if told:  # as text: lists of small numbers would come back as bytes
        assertions.append({"label": "org.artgen.recipe", "data": {"recipe": told}})
    return {"claim_generator_info": [maker], "title": path.name, "assertions": assertions}


def _sign_into(builder: Any, signer: Any, path: Path, temporary: Path) -> None:
    with path.open("rb") as source, temporary.open("w+b") as target:
        builder.sign(signer, _KINDS.get(path.suffix.lower(), path.suffix.lower()[1:]), source, target)


_KINDS = {".jpg": "jpeg", ".tif": "tiff"}


def _read(path: str | Path, flag: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{flag} {path}: {error.strerror or error}{similar(path)}") from None


def _algorithm(key: Any, path: str | Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in ("secp256r1", "secp384r1", "secp521r1"):
        return {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}[key.curve.name]
    raise UsageError(f"--sign-key {path}: C2PA takes keys of the kinds ECDSA (P-256, P-384, P-521), RSA and Ed25519")


def _plain(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else type(error).__name__
