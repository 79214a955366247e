"""Endings by which a file says what it is. They only ever tell what a file is not: what it is, its content tells."""

from __future__ import annotations

SOUNDS = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".m4a", ".m4b", ".aac", ".wma", ".au",
     ".caf", ".w64", ".rf64"}
)  # fmt: skip
CLIPS = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".mpg", ".mpeg", ".m2ts", ".mts", ".3gp", ".ogv"}
)
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".avif", ".svg", ".psd", ".ico"})
OTHERS = frozenset(
    {".xmp", ".aae", ".thm", ".cue", ".m3u", ".m3u8", ".pls", ".nfo", ".md5", ".sfv", ".url", ".lnk", ".mid", ".midi"}
    | {".srt", ".vtt", ".ttf", ".otf", ".exe", ".dll", ".pyc", ".npz", ".safetensors", ".ckpt"}
)
"""What lies beside pictures, sounds and clips and is none of them."""

DRAWINGS = (".svg", ".pdf", ".eps", ".ps")
"""Written in words, but it is not the words that people mean."""
