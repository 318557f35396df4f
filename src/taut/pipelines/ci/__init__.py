"""The line as workflows of CI systems: each step one command that a person could type."""

from taut.pipelines.ci.github import render_github
from taut.pipelines.ci.jenkins import render_jenkins

__all__ = ["render_github", "render_jenkins"]
