"""The settings: one frozen object, read at the edge and passed down."""

from service.settings.combined import PREFIX, SECRET, Settings, config_file, split
from service.settings.loading import Origin, is_loopback, load_settings, make_folders, origins
from service.settings.models import default_data_dir

__all__ = [
    "PREFIX",
    "SECRET",
    "Origin",
    "Settings",
    "config_file",
    "default_data_dir",
    "is_loopback",
    "load_settings",
    "make_folders",
    "origins",
    "split",
]
