//! How a key is bound to `amanuensis toggle` where the desktop, and not a program, has the say over keys.

/// What to write where, on one desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// The desktop.
    pub desktop: &'static str,
    /// Words of `XDG_CURRENT_DESKTOP` that it goes by.
    pub names: &'static [&'static str],
    /// Where the lines go: a file, or a terminal.
    pub place: &'static str,
    /// The lines.
    pub lines: &'static str,
}

/// All of them, for one key that starts and stops: on Sway, Hyprland and niri Super+D; elsewhere Ctrl+Alt+Space.
pub const RECIPES: &[Recipe] = &[
    Recipe {
        desktop: "GNOME",
        names: &["gnome", "unity"],
        place: "in a terminal (it replaces custom shortcuts that you have made; to keep them use Settings, Keyboard, Custom Shortcuts)",
        lines: "\
KEYS=org.gnome.settings-daemon.plugins.media-keys
OURS=/org/gnome/settings-daemon/plugins/media-keys/custom-keybindings/amanuensis/
gsettings set $KEYS custom-keybindings \"['$OURS']\"
gsettings set $KEYS.custom-keybinding:$OURS name 'Dictate'
gsettings set $KEYS.custom-keybinding:$OURS command 'amanuensis toggle'
gsettings set $KEYS.custom-keybinding:$OURS binding '<Control><Alt>space'",
    },
    Recipe {
        desktop: "KDE Plasma",
        names: &["kde"],
        place: "in ~/.local/share/kglobalaccel/amanuensis-toggle.desktop; then log in again, or set the key in System Settings, Shortcuts",
        lines: "\
[Desktop Entry]
Type=Application
Name=Dictate
Exec=amanuensis toggle
NoDisplay=true
X-KDE-GlobalAccel-CommandShortcut=true
X-KDE-Shortcuts=Ctrl+Alt+Space",
    },
    Recipe {
        desktop: "Sway",
        names: &["sway"],
        place: "in ~/.config/sway/config; then `swaymsg reload`",
        lines: "bindsym --no-repeat Mod4+d exec amanuensis toggle",
    },
    Recipe {
        desktop: "Hyprland",
        names: &["hyprland"],
        place: "in ~/.config/hypr/hyprland.conf",
        lines: "bind = SUPER, D, exec, amanuensis toggle",
    },
    Recipe {
        desktop: "niri",
        names: &["niri"],
        place: "in the section `binds` of ~/.config/niri/config.kdl",
        lines: "Mod+D repeat=false { spawn \"amanuensis\" \"toggle\"; }",
    },
];

/// The recipes in order: first the one for the desktop of this name, as in `XDG_CURRENT_DESKTOP`.
pub fn for_desktop(name: &str) -> Vec<&'static Recipe> {
    let name = name.to_lowercase();
    let here = |recipe: &&&Recipe| name.split(':').any(|word| recipe.names.contains(&word));
    let (here, others): (Vec<_>, Vec<_>) = RECIPES.iter().partition(|recipe| here(&recipe));
    here.into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::{RECIPES, for_desktop};

    #[test]
    fn the_desktop_at_hand_comes_first_and_none_is_left_out() {
        assert_eq!(for_desktop("ubuntu:GNOME")[0].desktop, "GNOME");
        assert_eq!(for_desktop("Hyprland")[0].desktop, "Hyprland");
        assert_eq!(for_desktop("KDE").len(), RECIPES.len());
        assert_eq!(for_desktop("")[0].desktop, "GNOME");
    }

    #[test]
    fn every_recipe_starts_our_command() {
        for recipe in RECIPES {
            assert!(recipe.lines.replace("\" \"", " ").contains("amanuensis toggle"), "{}", recipe.desktop);
        }
    }
}
