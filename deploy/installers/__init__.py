"""What installs the server in one click, made from the facts of this project.

The bundle for Claude Desktop is built; the registry's entry, the Claude Code plugin and the Gemini CLI extension are
files of this repository, because clients look for them there.
"""
