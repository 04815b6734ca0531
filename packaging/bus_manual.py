# SPDX-License-Identifier: GPL-3.0-or-later
"""Write man/org.opensharedroot.Osrd1.5 from data/dbus/*.xml: python3 packaging/bus_manual.py > man/...

The comment before an element documents it: ``Name: text``, then ``@argument: text`` parts. Needs Python alone.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Comment, Element, TreeBuilder, XMLParser

SOURCES = Path(__file__).resolve().parent.parent / "data" / "dbus"
NAME = "org.opensharedroot.Osrd1"
ACTION = "org.opensharedroot.PolkitAction"
EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"
CHANGES = {
    "true": "",
    "invalidates": "changes are signalled without the value",
    "const": "never changes",
    "false": "changes are not signalled",
}

HEAD = rf""".\" Made by packaging/bus_manual.py from data/dbus/*.xml; change those instead.
.TH {NAME} 5 "" "osrd" "Open Sharedroot"
.SH NAME
{NAME} \- the D-Bus API of osrd
.SH SYNOPSIS
.nf
bus name  {NAME} (system bus)
/org/opensharedroot/Osrd1         .Manager, org.freedesktop.DBus.ObjectManager
/org/opensharedroot/Osrd1/nodes/\fIID\fR    .Node
/org/opensharedroot/Osrd1/roots/\fINAME\fR  .SharedRoot
/org/opensharedroot/Osrd1/images/\fIID\fR   .Image
/org/opensharedroot/Osrd1/jobs/\fIN\fR      .Job
/org/freedesktop/LogControl1      org.freedesktop.LogControl1
.fi
.SH DESCRIPTION
.BR osrd (8)
shows the cluster on the system bus and takes orders there.
.BR osrctl (8)
is a client of this interface, and everything it does can be done with
.BR busctl (1)
or
.BR gdbus (1)
as well.
.PP
All objects also have org.freedesktop.DBus.Properties, Introspectable and Peer. InterfacesAdded and InterfacesRemoved
come from the root object, PropertiesChanged from the object that changed. Every property is read-only, except
LogLevel and LogTarget of org.freedesktop.LogControl1, which ask for the action org.opensharedroot.osrd.set-logging.
.PP
In object paths every byte of a root's name or of a node's key that is no ASCII letter or digit is written as _ and
two hexadecimal digits. The key of a node is its id, or name:\fINAME\fR or line:\fIN\fR where the id is missing or
taken.
.PP
Every method takes a dictionary of options as its last argument, which may be empty. Options that are not known are
refused with org.freedesktop.DBus.Error.InvalidArgs.
"""

TAIL = rf""".SH AUTHORISATION
Everybody may read. For everything else
.BR polkit (8)
is asked about the action that is given with each method; the user root and the user that osrd runs as are not asked
about. Without polkit on the bus only these two may. The caller is asked for a password only if it allows that in its
call. Methods that are not only reading are limited to 20 calls a second (40 at once) for each caller, as are Plan,
ListNodes, ListGenerations, ListImages, GetManagedObjects, ListCdsls, CheckCdsls, ListBackups, GetBuildLog, Compare and
GetLog; more are refused with org.freedesktop.DBus.Error.LimitsExceeded.
.SH ERRORS
Names begin with {NAME}.Error, texts say what to do.
.TP
.B InvalidConfig
An input file cannot be read as what it should be.
.TP
.B NotFound
A node, generation, job, root or path that was named does not exist.
.TP
.B Conflict
The world moved since the caller looked: another config_version, another plan; a name is claimed twice; or nodes'
copies of a path differ and it was not said whose content stays.
.TP
.B NotAuthorized
The caller may not do this.
.TP
.B Busy
Too many jobs or questions wait already, or a shared root does not answer.
.TP
.B Failed
A step failed for a reason outside osrd.
.TP
.B Unsupported
Not possible on this host or in this state.
.PP
Malformed arguments are org.freedesktop.DBus.Error.InvalidArgs. Strings longer than 4,096 characters and arrays of more
than 1,000 elements are malformed.
.SH EXAMPLES
.nf
busctl call {NAME} /org/opensharedroot/Osrd1 \e
    {NAME}.Manager ListNodes 'a{{sv}}' 0
gdbus call \-\-system \-d {NAME} \-o /org/opensharedroot/Osrd1 \e
    \-m {NAME}.Manager.SetNode node1 "{{'ip': <'10.0.0.7'>}}" '{{}}'
gdbus monitor \-\-system \-d {NAME}
.fi
.SH SEE ALSO
.BR osrd (8),
.BR osrctl (8),
.BR osrd.conf (5),
.BR busctl (1),
.BR polkit (8)
"""


def main() -> None:
    sys.stdout.write(page())


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for noun in ("Manager", "Node", "SharedRoot", "Image", "Job"):
        parts += _interface(SOURCES / f"{NAME}.{noun}.xml")
    return "".join([*parts, TAIL])


def _interface(path: Path) -> Iterator[str]:
    # The parser that ElementTree makes by default drops comments.
    tree = ElementTree.parse(path, XMLParser(target=TreeBuilder(insert_comments=True)))
    for interface, doc in _documented(tree.getroot(), "interface"):
        yield f'.SH "INTERFACE {interface.get("name")}"\n'
        yield _text(doc, "")
        for title, tag in (("Methods", "method"), ("Properties", "property"), ("Signals", "signal")):
            members = list(_documented(interface, tag))
            if members:
                yield f".SS {title}\n"
            for member, member_doc in members:
                yield ".TP\n" + _signature(member) + "\n" + _text(member_doc, _note(member))


def _documented(parent: Element, tag: str) -> Iterator[tuple[Element, str]]:
    """The children named ``tag``, each with the comment before it."""
    doc = ""
    for child in parent:
        if child.tag is Comment:
            doc = child.text or ""
        else:
            if child.tag == tag:
                yield child, doc
            doc = ""


def _signature(member: Element) -> str:
    name = member.get("name", "")
    if member.tag == "property":
        return rf"\fB{name}\fR  {member.get('type')}"
    given = [_argument(argument) for argument in member.iterfind("arg") if argument.get("direction") != "out"]
    returned = [_argument(argument) for argument in member.iterfind("arg") if argument.get("direction") == "out"]
    arrow = rf" \(-> {', '.join(returned)}" if returned else ""
    return rf"\fB{name}\fR({', '.join(given)}){arrow}"


def _argument(argument: Element) -> str:
    return rf"\fI{argument.get('name')}\fR {argument.get('type')}"


def _note(member: Element) -> str:
    """What the annotations say, for people."""
    notes = {item.get("name"): item.get("value", "") for item in member.iterfind("annotation")}
    if ACTION in notes:
        stricter = [f"; with {name.removeprefix(ACTION + '.')}: {notes[name]}" for name in notes if _is_stricter(name)]
        return f"Action: {notes[ACTION]}{''.join(stricter)}."
    return CHANGES[notes[EMITS]].capitalize() + "." if notes.get(EMITS, "true") != "true" else ""


def _is_stricter(annotation: str | None) -> bool:
    return bool(annotation and annotation.startswith(ACTION + "."))


def _text(doc: str, note: str) -> str:
    """A comment as roff: its text, its arguments as a list, and a note."""
    words = " ".join(doc.split())
    words = re.sub(r"^[\w.]+: ?", "", words)
    body, *arguments = re.split(r"\s*@(\w+): ", words)
    lines = [_escaped(body)]
    for name, text in zip(arguments[::2], arguments[1::2], strict=True):
        if name != "since":
            lines += [".br", rf"\fI{name}\fR: {_escaped(text)}"]
    if note:
        lines += [".br", _escaped(note)]
    return "\n".join(line for line in lines if line) + "\n"


def _escaped(text: str) -> str:
    """``text`` for roff: code in bold, no line that begins a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", text)
    return re.sub(r"^(?=[.'])", r"\\&", text)


if __name__ == "__main__":
    main()
