# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot loaders: which, from where, and what is said when one is missing."""

import subprocess
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from osrd.model.cluster import RootVolume
from osrd.model.finding import Severity
from osrd.model.netboot import HostFacts
from osrd.model.output import BuiltBy, CopyOf, FileState, Kind, Stage
from osrd.model.settings import Architecture, BiosLoader, BootSettings, Settings, TftpSettings, UefiLoader
from osrd.observe.facts import FactFinder
from osrd.plan.desired import Desirer
from osrd.plan.loaders import boot_files, boot_server, plan_loaders, served_files, sources
from tests.conftest import refuse
from tests.unit.planning import DIRECTORY, VOLUME, facts, inputs, node

SIGNED = (
    "/usr/lib/shim/shimx64.efi.signed",
    "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
    "/usr/lib/shim/mmx64.efi.signed",
)


def boot(*architectures: Architecture, prefix: str = "osr", **others: object) -> Settings:
    made = BootSettings(architectures=architectures, **others)  # type: ignore[arg-type]
    return Settings(tftp=TftpSettings("/srv/tftp", prefix), boot=made)


def known(*paths: str, **others: object) -> HostFacts:
    files = {path: FileState(f"{index:064x}", index, 0o644) for index, path in enumerate(paths, 1)}
    return HostFacts(files, **others)  # type: ignore[arg-type]


def test_defaults_are_pxelinux_and_a_grub_made_here() -> None:
    plan = plan_loaders(Settings(), facts())
    recipes = {output.path.rpartition("/")[2]: output.recipe for output in plan.outputs}
    assert recipes.pop("grubx64.efi").startswith("built:")
    assert recipes == {"pxelinux.0": "1" * 64, "ldlinux.c32": "2" * 64}
    assert {(output.kind, output.stage) for output in plan.outputs} == {(Kind.LOADER, Stage.LOADER)}
    assert plan.usable == {Architecture.BIOS: "osr/pxelinux.0", Architecture.X86_64: "osr/grubx64.efi"}
    assert plan.findings == []


def test_the_grub_recipe_covers_program_modules_and_arguments() -> None:
    def recipe(made: HostFacts, settings: Settings) -> str:
        return next(each.recipe for each in plan_loaders(settings, made).outputs if "grubx64" in each.path)

    program = "/usr/bin/grub-mkimage"
    first = recipe(facts(), Settings())
    changed = facts()
    changed = replace(changed, files={**changed.files, program: FileState("9" * 64, 3, 0o755)})
    others = {
        recipe(changed, Settings()),
        recipe(facts(modules={"/usr/lib/grub/x86_64-efi": "8" * 64}), Settings()),
        recipe(facts(), Settings(tftp=TftpSettings("/srv/tftp", "other"))),
    }
    assert len(others | {first}) == 4
    assert recipe(facts(), Settings()) == first


@pytest.mark.parametrize(
    ("settings", "places", "names"),
    [
        (boot(Architecture.BIOS, bios_loader=BiosLoader.IPXE), ("/usr/lib/ipxe/undionly.kpxe",), {"undionly.kpxe"}),
        (boot(Architecture.X86_64, uefi_loader=UefiLoader.IPXE), ("/usr/lib/ipxe/ipxe.efi",), {"ipxe.efi"}),
        (
            boot(Architecture.X86_64, uefi_loader=UefiLoader.IPXE),
            ("/usr/share/ipxe/ipxe-snponly-x86_64.efi",),
            {"ipxe.efi"},
        ),
        (
            boot(Architecture.ARM64, uefi_loader=UefiLoader.IPXE),
            ("/usr/share/ipxe/arm64-efi/snponly.efi",),
            {"ipxe-arm64.efi"},
        ),
        (
            boot(Architecture.BIOS),
            ("/usr/share/syslinux/pxelinux.0", "/usr/share/syslinux/ldlinux.c32"),
            {"pxelinux.0", "ldlinux.c32"},
        ),
        (boot(Architecture.X86_64, secure_boot=True), SIGNED, {"shimx64.efi", "grubx64.efi", "mmx64.efi"}),
        (
            boot(Architecture.X86_64, secure_boot=True),
            tuple(f"/boot/efi/EFI/fedora/{name}x64.efi" for name in ("shim", "grub", "mm")),
            {"shimx64.efi", "grubx64.efi", "mmx64.efi"},
        ),
    ],
)
def test_places_of_debian_and_fedora(settings: Settings, places: tuple[str, ...], names: set[str]) -> None:
    assert set(places) <= set(sources(settings))
    plan = plan_loaders(settings, known(*places, present=frozenset({"/srv/tftp/grub/grub.cfg"})))
    assert {output.path for output in plan.outputs} == {f"{DIRECTORY}/{name}" for name in names}
    copied = [content.source for content in plan.contents.values() if isinstance(content, CopyOf)]
    assert sorted(copied) == sorted(places)
    assert plan.findings == []
    assert len(plan.usable) == 1


def test_arm64_grub_is_built_from_its_own_modules() -> None:
    made = known("/usr/bin/grub2-mkimage", modules={"/usr/lib/grub/arm64-efi": "5" * 64})
    plan = plan_loaders(boot(Architecture.ARM64), made)
    (content,) = plan.contents.values()
    assert isinstance(content, BuiltBy)
    assert content.argv[:9] == (
        *("/usr/bin/grub2-mkimage", "--directory", "/usr/lib/grub/arm64-efi", "--prefix", "/osr/grub"),
        *("--output", "{output}", "--format", "arm64-efi"),
    )


@pytest.mark.parametrize("missing", range(3))
def test_half_a_secure_boot_chain_is_refused(missing: int) -> None:
    plan = plan_loaders(boot(Architecture.X86_64, secure_boot=True), known(*SIGNED[:missing], *SIGNED[missing + 1 :]))
    assert plan.outputs == []
    assert plan.usable == {}
    (finding,) = plan.findings
    assert (finding.code, finding.severity, finding.value) == ("loader-incomplete", Severity.ERROR, SIGNED[missing])
    assert "shim-signed" in finding.fix


def test_a_chain_is_not_mixed_from_two_vendors() -> None:
    mixed = known("/boot/efi/EFI/fedora/shimx64.efi", "/boot/efi/EFI/centos/grubx64.efi", SIGNED[2])
    assert plan_loaders(boot(Architecture.X86_64, secure_boot=True), mixed).outputs == []


def test_the_signed_grub_of_debian_reads_outside_the_owned_directory() -> None:
    settings = boot(Architecture.X86_64, secure_boot=True)
    (finding,) = plan_loaders(settings, known(*SIGNED)).findings
    assert finding.fix.startswith("ln -s osr/grub /srv/tftp/grub")
    assert "/srv/tftp/grub/grub.cfg" in served_files(settings)
    assert plan_loaders(boot(Architecture.X86_64, secure_boot=True, prefix=""), known(*SIGNED)).findings == []


def test_a_missing_loader_names_the_packages() -> None:
    plan = plan_loaders(boot(Architecture.BIOS), known())
    assert [finding.value for finding in plan.findings] == ["pxelinux.0", "ldlinux.c32"]
    assert plan.findings[0].fix == ("apt-get install pxelinux (Debian) or dnf install syslinux-nonlinux (Fedora)")
    assert (plan.usable, plan.keep) == ({}, False)


def test_a_missing_loader_that_is_served_already_stays() -> None:
    present = frozenset({f"{DIRECTORY}/pxelinux.0", f"{DIRECTORY}/ldlinux.c32"})
    plan = plan_loaders(boot(Architecture.BIOS), known(present=present))
    assert plan.usable == {Architecture.BIOS: "osr/pxelinux.0"}
    assert plan.keep
    desired = Desirer().desire(inputs(node(1), facts=facts(files={}, present=present)))
    assert Kind.LOADER in desired.frozen_kinds


def test_one_missing_loader_does_not_stop_the_others() -> None:
    plan = plan_loaders(boot(Architecture.BIOS, Architecture.X86_64, Architecture.ARM64), facts())
    assert set(plan.usable) == {Architecture.BIOS, Architecture.X86_64}
    assert [finding.value for finding in plan.findings] == ["grubaa64.efi"]
    assert not plan.keep


def test_the_server_is_configured_or_what_all_volumes_agree_on() -> None:
    auto = Settings()
    away = RootVolume("10.0.0.1:/x", "nfs", "10.0.0.1", "/x")
    named = RootVolume("nas:/x", "nfs", "nas", "/x")
    local = RootVolume("/dev/sda", "ext4", "", "/dev/sda")
    assert boot_server(auto, [VOLUME, local]) == "192.168.122.1"
    assert boot_server(auto, [VOLUME, away]) == ""
    assert boot_server(auto, [named]) == ""
    assert boot_server(auto, []) == ""
    configured = Settings(boot=BootSettings(server=IPv4Address("10.1.1.1")))
    assert boot_server(configured, [named]) == "10.1.1.1"


@pytest.mark.parametrize(
    ("settings", "script"),
    [
        (boot(), "osr/ipxe/boot.ipxe"),
        (boot(prefix=""), "ipxe/boot.ipxe"),
        (boot(http="http://10.0.0.1/boot/"), "http://10.0.0.1/boot/ipxe/boot.ipxe"),
    ],
)
def test_clients_that_run_ipxe_are_told_a_url_or_a_file_of_next_server(settings: Settings, script: str) -> None:
    assert boot_files(settings, "10.0.0.1", {}).ipxe_script == script


@pytest.mark.needs("grub-mkimage")
def test_the_packages_of_this_host_make_a_grub(tmp_path: Path) -> None:
    """With the real modules: the image is made, the same twice, and has the prefix in it."""
    found = FactFinder().find(Settings(), {})
    if "/usr/lib/grub/x86_64-efi" not in found.modules:
        refuse("not installed: grub-efi-amd64-bin")
    plan = plan_loaders(Settings(), found)
    content = next(content for content in plan.contents.values() if isinstance(content, BuiltBy))
    images = []
    for name in ("a", "b"):
        argv = [argument.replace("{output}", str(tmp_path / name)) for argument in content.argv]
        subprocess.run(argv, check=True)
        images.append((tmp_path / name).read_bytes())
    assert images[0] == images[1]
    assert images[0].startswith(b"MZ")
    assert b"/osr/grub\0" in images[0]
