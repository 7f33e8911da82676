"""Another program with a text field. Told `text`, it prints what is in the field as one line of JSON; told `clear`, it empties it."""

import json
import sys

import gi

gi.require_version("Gtk", "3.0")
from gi.repository import GLib

# The name that its windows go by, which GTK asks for when it begins.
GLib.set_prgname("witness")
from gi.repository import Gtk

kind, title = sys.argv[1:]
window = Gtk.Window(title=title)
window.set_default_size(500, 200)
window.connect("destroy", Gtk.main_quit)
if kind == "entry":
    field = Gtk.Entry()
    content = field
else:
    field = Gtk.TextView()
    content = field.get_buffer()
window.add(field)
window.show_all()
field.grab_focus()


def say(what):
    print(json.dumps(what), flush=True)


def told(source, condition):
    line = sys.stdin.readline()
    if not line:
        Gtk.main_quit()
        return False
    if line == "text\n":
        say(content.get_property("text"))
    elif line == "clear\n":
        content.set_property("text", "")
        say("")
    elif line == "focused\n":
        say("yes" if field.has_focus() and window.is_active() else "no")
    return True


GLib.io_add_watch(sys.stdin, GLib.IO_IN | GLib.IO_HUP, told)
Gtk.main()
