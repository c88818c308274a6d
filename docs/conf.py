"""Settings of the documentation's pages: ``sphinx-build -W --keep-going -b html docs docs/_build``."""

import re
from importlib.metadata import version as version_of

project = "sk_dlsteps"
version = release = version_of(project)
html_title = project

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
# scikit-learn's docstrings, which some attributes inherit, refer to its glossary.
suppress_warnings = ["ref.term"]
exclude_patterns = ["_build", "examples"]
templates_path = ["_templates"]

myst_heading_anchors = 4

numpydoc_show_class_members = False
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
autodoc_default_options = {"members": True, "inherited-members": True, "member-order": "groupwise"}

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": ".*",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "capture_repr": ("_repr_html_",),
    # That page would load a script from elsewhere.
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}
html_sidebars = {"benchmarks": []}
html_theme_options = {"navigation_with_keys": False, "show_toc_level": 2}


def link_pages(app, what, name, obj, options, lines):
    """Turn what docstrings say of a page, such as docs/inputs.md, into a link to it."""
    lines[:] = [re.sub(r'"?docs/(\w+)\.md"?', r":doc:`/\1`", line) for line in lines]


def skip_others(app, what, name, obj, skip, options):
    """Leave out what scikit-learn and Python bring along."""
    module = getattr(obj, "__module__", None) or getattr(getattr(obj, "fget", None), "__module__", "")
    return skip or not module.startswith(project)


def setup(app):
    """Connect the two."""
    app.connect("autodoc-process-docstring", link_pages)
    app.connect("autodoc-skip-member", skip_others)
