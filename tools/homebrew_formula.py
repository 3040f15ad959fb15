"""Write the Homebrew formula from the pinned versions.

    python -m tools.homebrew_formula
    python -m tools.homebrew_formula --url URL --wheel dist/X.whl

The first writes packaging/homebrew/deepseek-ocrd.rb; the second is for a release with an address.

Why wheels: PyTorch publishes no source distribution, so Homebrew's usual way, building every Python
resource from source, is not possible. Each resource is the wheel that pip would take on macOS on
Apple Silicon, with its address and hash from the package index.

Why the environment is made in `post_install`: Homebrew rewrites library paths inside all libraries
that a formula installs, and many wheels leave no room for longer paths. Packed wheels are left
alone, and what is made after that step is too.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from tools.check_platform import OLDEST_MACOS
from tools.resolve import MACOS, ROOT, File, Python, ResolutionError, resolve

FORMULA = ROOT / "packaging" / "homebrew" / "deepseek-ocrd.rb"
PYTHON: Python = (3, 13)
MACOS_NAMES = {14: "sonoma", 15: "sequoia", 26: "tahoe"}
# The formula is for everyone, so its addresses are those of the public package index.
PUBLIC_FILES = "https://files.pythonhosted.org/packages/"
# Without a release there is no address: whoever installs names the wheel that `make dist` built.
LOCAL_SOURCE = '''\
  # No release has a public address yet: build the wheel with `make dist` and name it in this
  # variable. `python -m tools.homebrew_formula --url URL --wheel FILE` writes an address here.
  url "file://#{{ENV.fetch("HOMEBREW_OCRD_WHEEL", "/{wheel}")}}", using: :nounzip
  version "{version}"'''
RELEASED_SOURCE = '''\
  url "{url}", using: :nounzip
  version "{version}"
  sha256 "{sha256}"'''
RESOURCE = """\
  resource "{file.distribution}" do
    url "{file.url}", using: :nounzip
    sha256 "{file.sha256}"
  end
"""
TEMPLATE = """\
# UNTESTED: this formula has never been installed. See docs/install.md.
# Generated from pyproject.toml and constraints.txt by `make homebrew`; do not edit it.
#
# Each resource is the wheel that pip takes on macOS on Apple Silicon, with its address and hash
# from the package index. PyTorch has no source distribution that Homebrew could build instead.
class DeepseekOcrd < Formula
  desc "Turns dropped pictures and PDFs into text with DeepSeek-OCR, locally"
{source}
  license "{license}"

  depends_on arch: :arm64
  depends_on macos: :{macos}
  depends_on "python@{python}"

{resources}
  # The wheels stay packed until post_install, because Homebrew rewrites the library paths of
  # everything that lies unpacked in the keg, and the libraries in wheels have no room for that.
  def install
    wheels = libexec/"wheels"
    wheels.install Dir["*.whl"]
    resources.each {{ |resource| resource.stage(wheels) }}
    bin.write_exec_script opt_libexec/"venv/bin/ocrd"
  end

  def post_install
    venv = libexec/"venv"
    rm_r(venv) if venv.exist?
    system Formula["python@{python}"].opt_bin/"python{python}", "-m", "venv", venv
    system venv/"bin/python", "-m", "pip", "install", "--no-index", "--no-deps", "--no-cache-dir",
           *Dir[libexec/"wheels/*.whl"]
  end

  def caveats
    <<~EOS
      To start the daemon now and at login, and again after each upgrade, run:
        ocrd install
      Before you uninstall this formula, run:
        ocrd uninstall
    EOS
  end

  test do
    assert_match version.to_s, shell_output("#{{bin}}/ocrd --version")
    system bin/"ocrd", "init", "--pocket"
    picture = libexec/"venv/lib/python{python}/site-packages/ocrd/pocket/demo/greeting.png"
    assert_match "Good morning", shell_output("#{{bin}}/ocrd recognize #{{picture}}")
  end
end
"""


def local_source(version: str) -> str:
    """The formula's source while no release has an address."""
    return LOCAL_SOURCE.format(wheel=f"deepseek_ocrd-{version}-py3-none-any.whl", version=version)


def released_source(url: str, wheel: Path, *, version: str) -> str:
    """The formula's source for a release at `url` with the contents of `wheel`."""
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return RELEASED_SOURCE.format(url=url, version=version, sha256=sha256)


def render(files: Iterable[File], source: str, *, license_name: str) -> str:
    """The formula's text.

    Args:
        files: The wheels to install, ocrd itself excluded.
        source: What `local_source` or `released_source` returns.
        license_name: The SPDX expression of ocrd's license.
    """
    resources = (RESOURCE.format(file=file) for file in sorted(files, key=_name))
    return TEMPLATE.format(
        source=source,
        license=license_name,
        macos=MACOS_NAMES[OLDEST_MACOS],
        python=f"{PYTHON[0]}.{PYTHON[1]}",
        resources="\n".join(resources),
    )


def _name(file: File) -> str:
    return file.distribution


def foreign_addresses(files: Iterable[File]) -> list[str]:
    """Addresses that are not the public index's, as a mirror of the index may give."""
    return [file.url for file in files if not file.url.startswith(PUBLIC_FILES)]


def main() -> int:
    """Write the formula; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="where the release's wheel can be downloaded")
    parser.add_argument("--wheel", type=Path, help="the release's wheel on this machine")
    arguments = parser.parse_args()
    if (arguments.url is None) != (arguments.wheel is None):
        parser.error("--url and --wheel belong together")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source = local_source(project["version"])
    if arguments.url:
        source = released_source(arguments.url, arguments.wheel, version=project["version"])
    try:
        files = resolve(MACOS, PYTHON)
    except ResolutionError as error:
        print(error, file=sys.stderr)
        return 1
    if foreign := foreign_addresses(files):
        print(f"the index is a mirror, not the public one: {foreign[0]}", file=sys.stderr)
        return 1
    FORMULA.write_text(render(files, source, license_name=project["license"]), encoding="utf-8")
    print(f"wrote {FORMULA.relative_to(ROOT)} with {len(files)} resources")
    return 0


if __name__ == "__main__":
    sys.exit(main())
