"""Write the `weights.json` of the vision models from what timm lists.

Run it with timm 1.0 installed: `python tools/list_weights.py`. Rows are the files that authors
serve at fixed addresses, as timm quotes them, and files of the hub whose revision is known here.
Hashes and sizes are filled by whoever has the network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent / "packages/dlt-models-vision/src/dl_techniques/models"
LICENCES = {
    "apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "mit": "https://opensource.org/license/mit",
    "cc-by-nc-4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
}
# Files of the hub, in timm's layout: name -> revision.
PINNED = {
    "convnext_tiny.fb_in22k_ft_in1k": "9652db768d961382dea070578e6e38d85e44ff7b",
    "convnext_tiny.in12k_ft_in1k": "c7cda5c435dafe1ba22a04f4c5665b14bd4ba222",
    "mobilenetv4_conv_small.e2400_r224_in1k": "62da402ab468e9f1581764050d6be51fda8a35f0",
    "mobilenetv4_conv_small.e1200_r224_in1k": "42e5d0603fcdddd4f3b414b1a6d4a38c1bf9a43a",
}
# Tag of each variant that answers to "imagenet", where it is not the first of its kind.
IMAGENET = ("augreg_in21k_ft_in1k", "fb_in1k", "fcmae_ft_in1k", "e2400_r224_in1k", "ms_in1k")
FAMILIES = {
    "vit": (re.compile(r"vit_(tiny|small|base|large)_patch(16|32)_(224|384)"), "ViT", "jax"),
    "convnext": (re.compile(r"convnext_(tiny|small|base|large|xlarge)"), "ConvNeXtV1", "facebook"),
    "convnext ": (
        re.compile(r"convnextv2_(atto|femto|pico|nano|tiny|base|large|huge)"),
        "ConvNeXtV2",
        "facebook",
    ),
    "mobilenet_v4": (
        re.compile(r"mobilenetv4_((?:conv|hybrid)_(?:small|medium|large))"),
        "MobileNetV4",
        "timm",
    ),
    "swin": (
        re.compile(r"swin_(tiny|small|base|large)_patch4_window(7|12)_(224|384)"),
        "SwinTransformer",
        "microsoft",
    ),
}
HOSTS = (
    "https://dl.fbaipublicfiles.com/",
    "https://storage.googleapis.com/",
    "https://github.com/",
)


def rows(package: str) -> Iterator[dict[str, Any]]:
    """The rows of one package, in timm's order."""
    from timm.models._registry import _model_default_cfgs

    pattern, component, layout = FAMILIES[package]
    taken: set[str] = set()
    for name, configs in _model_default_cfgs.items():
        match = pattern.fullmatch(name)
        for tag, config in configs.cfgs.items() if match else ():
            source, own = _source(f"{name}.{tag}", config.url, layout)
            # Headless pretraining has weights that no classifier has.
            if source is None or not config.num_classes or config.license not in LICENCES:
                continue
            row = _row(component, match.groups(), tag, config)
            alias = tag in IMAGENET and row["variant"] not in taken and "patch32" not in row["tag"]
            if alias:
                taken.add(row["variant"])
            yield row | {
                "aliases": ["imagenet"] if alias else [],
                "sources": [source],
                "layout": own,
                "sha256": None,
            }


def _source(name: str, url: str, layout: str) -> tuple[dict[str, str] | None, str]:
    if name in PINNED:
        place = {"kind": "hf", "repo": f"timm/{name}", "file": "model.safetensors"}
        return {**place, "revision": PINNED[name]}, "timm"
    if not url or not url.startswith(HOSTS) or (layout == "jax") != url.endswith(".npz"):
        return None, layout
    return {"kind": "url", "url": url}, layout


def _row(component: str, groups: tuple[str, ...], tag: str, config: Any) -> dict[str, Any]:
    variant, *rest = groups
    side = config.input_size[1]
    settings: dict[str, Any] = {"classes": config.num_classes}
    parts = [tag]
    if component == "ViT" and rest[0] != "16":
        settings["patch_size"] = int(rest[0])
        parts.insert(0, f"patch{rest[0]}")
    if component == "SwinTransformer" and rest[0] != "7":
        settings["window_size"] = int(rest[0])
    if side != 224:
        settings["input_shape"] = [side, side, 3]
        parts += [] if str(side) in tag else [str(side)]
    return {
        "component": f"dl_techniques>{component}",
        "variant": variant,
        "tag": "_".join(parts),
        "licence": config.license,
        "licence_url": LICENCES[config.license],
        "config": settings,
        "preprocess": {
            "size": side,
            "crop_pct": config.crop_pct,
            "mean": list(config.mean),
            "std": list(config.std),
        },
    }


def main() -> None:
    """Replace the rows of each listing; its layouts stay."""
    for package in dict.fromkeys(name.strip() for name in FAMILIES):
        path = ROOT / package / "weights.json"
        listing = json.loads(path.read_text(encoding="utf-8"))
        found = [row for name in FAMILIES if name.strip() == package for row in rows(name)]
        lines = [f"  {json.dumps(row)}" for row in found]
        layouts = [f"  {json.dumps(row)}" for row in listing["layouts"]]
        text = '{{\n "schema": 1,\n "layouts": [\n{}\n ],\n "weights": [\n{}\n ]\n}}\n'
        path.write_text(text.format(",\n".join(layouts), ",\n".join(lines)), encoding="utf-8")


if __name__ == "__main__":
    main()
