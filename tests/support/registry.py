"""The registry of an archive under test: the demo's, plus what single tests need."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

COUNTY = "350006"  # compares exam and image as the demo does: normalised
TOWN = "350007"
STUDY_ONLY = "350008"  # compares the study UID only
HOLD = "350009"  # keeps unmatched images aside
TEST_MODE = "350010"

# Only where it is asked for: a peer of any hospital, as the demo's are, is a peer of this one as well, and then
# images that nobody pushed are kept aside instead of refused.
HOLDING = {"code": HOLD, "name": "先存后推", "prefix": "7176", "mode": "live", "matching": "normalised", "hold_days": 7}

_ALL = [COUNTY, TOWN, STUDY_ONLY, TEST_MODE]


def _hospitals() -> list[dict]:
    return [
        {"code": COUNTY, "name": "示例县医院", "prefix": "7173", "yyid00": "6930", "mode": "live", "matching": "normalised"},
        {"code": TOWN, "name": "示例乡镇卫生院", "prefix": "7174", "mode": "live", "matching": "normalised"},
        {"code": STUDY_ONLY, "name": "仅比检查号", "prefix": "7175", "mode": "live", "matching": "study"},
        {"code": TEST_MODE, "name": "联调医院", "prefix": "7177", "mode": "test", "matching": "normalised"},
    ]


def _apps() -> list[dict]:
    return [
        {"id": "demo-pacs", "license": "demo-license", "org": COUNTY, "rights": ["push"], "hospitals": _ALL},
        {"id": "demo-reader", "license": "demo-license", "org": COUNTY, "rights": ["read", "cite", "supervise"], "hospitals": ["*"]},
        {"id": "demo-supervisor", "license": "demo-license", "org": COUNTY, "rights": ["cite", "supervise"], "hospitals": ["*"]},
        {"id": "town-only", "license": "town-license", "org": TOWN, "rights": ["push"], "hospitals": [TOWN]},
    ]


def _his() -> list[dict]:
    return [{"id": "demo-his", "license": "demo-license", "hospitals": ["*"]}]


@dataclass
class Registry:
    hospitals: list[dict] = field(default_factory=_hospitals)
    apps: list[dict] = field(default_factory=_apps)
    peers: dict[str, int] = field(default_factory=dict)  # AE title -> port on the loopback
    # Rights of single peers: AE title -> keys of its table (services, hospitals, addresses).
    rights: dict[str, dict] = field(default_factory=dict)
    # HIS; a receiver of notices is a table within it.
    his: list[dict] = field(default_factory=_his)
    # A whole file in place of all that.
    text: str | None = None

    def app(self, name: str) -> dict:
        return next(app for app in self.apps if app["id"] == name)

    def toml(self) -> str:
        if self.text is not None:
            return self.text
        tables = [("hospital", row) for row in self.hospitals]
        tables += [("app", row) for row in self.apps]
        tables += [
            ("peer", {"ae": ae, "host": "127.0.0.1", "port": port, **self.rights.get(ae, {})})
            for ae, port in self.peers.items()
        ]
        tables += [("his", row) for row in self.his]
        return "\n".join(f"[[{name}]]\n{_table(name, row)}" for name, row in tables)


def _table(name: str, row: dict) -> str:
    inner = {key: value for key, value in row.items() if isinstance(value, dict)}
    own = "".join(f"{key} = {_value(value)}\n" for key, value in row.items() if key not in inner)
    return own + "".join(f"[{name}.{key}]\n{_table(f'{name}.{key}', value)}" for key, value in inner.items())


def _value(value: object) -> str:
    # JSON's texts, numbers, booleans and flat arrays are TOML's as well.
    return json.dumps(value, ensure_ascii=False)
