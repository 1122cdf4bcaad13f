"""Named sets of hosts for tier allowlist, as data: `@github` in `[network] allow` stands for all of its names.

Those of package managers follow the user's own configuration (toolsets.py reads it); what stands here of them is what
the program itself asks where nothing is configured.
"""

from __future__ import annotations

# set → (rule, what it is for). A rule is written as in a file; `check` behind a space.
SETS: dict[str, tuple[tuple[str, str], ...]] = {
    "anthropic": (
        ("api.anthropic.com:443", "the model, and Claude Code's own settings"),
        ("platform.claude.com:443", "the login, and the documentation of the API"),
        ("claude.ai:443", "logging in with a subscription, connectors"),
        ("code.claude.com:443", "Claude Code's documentation"),
        ("mcp-proxy.anthropic.com:443", "connectors that the account has"),
    ),
    "openai": (
        ("api.openai.com:443", "the model"),
        ("auth.openai.com:443", "the login"),
        ("chatgpt.com:443", "the model with a subscription"),
    ),
    "google-ai": (
        ("generativelanguage.googleapis.com:443", "the model with a key"),
        ("cloudcode-pa.googleapis.com:443", "the model with a Google account"),
        ("oauth2.googleapis.com:443", "the login"),
        ("accounts.google.com:443", "the login"),
    ),
    "github": (
        ("github.com:443", "pages, and git over https"),
        ("api.github.com:443", "the API, gh"),
        ("codeload.github.com:443", "archives of a repository"),
        ("raw.githubusercontent.com:443", "single files"),
        ("objects.githubusercontent.com:443", "files of a release"),
        ("release-assets.githubusercontent.com:443", "files of a release"),
        ("github-cloud.githubusercontent.com:443", "large files (LFS)"),
        ("media.githubusercontent.com:443", "large files (LFS)"),
        ("uploads.github.com:443", "files for a release"),
        ("gist.github.com:443", "gists"),
        ("gist.githubusercontent.com:443", "gists"),
        ("github.com:22", "git over ssh"),
        ("ssh.github.com:443 none", "git over ssh on port 443, which shows no name"),
    ),
    "github-packages": (
        ("ghcr.io:443", "images"),
        ("pkg-containers.githubusercontent.com:443", "the layers of images"),
        ("npm.pkg.github.com:443", "npm packages"),
        ("maven.pkg.github.com:443", "Maven packages"),
        ("nuget.pkg.github.com:443", "NuGet packages"),
        ("rubygems.pkg.github.com:443", "gems"),
    ),
    "gitlab": (
        ("gitlab.com:443", "pages, the API, git over https, packages"),
        ("registry.gitlab.com:443", "images"),
        ("cdn.registry.gitlab-static.net:443", "the layers of images"),
        ("gitlab.com:22", "git over ssh"),
        ("altssh.gitlab.com:443 none", "git over ssh on port 443, which shows no name"),
    ),
    "bitbucket": (
        ("bitbucket.org:443", "pages, and git over https"),
        ("api.bitbucket.org:443", "the API"),
        ("bitbucket.org:22", "git over ssh"),
        ("altssh.bitbucket.org:443 none", "git over ssh on port 443, which shows no name"),
    ),
    "codeberg": (
        ("codeberg.org:443", "pages, the API, git over https"),
        ("codeberg.org:22", "git over ssh"),
    ),
    "docker": (
        ("registry-1.docker.io:443", "images"),
        ("auth.docker.io:443", "the token that every pull needs"),
        ("production.cloudflare.docker.com:443", "the layers of images"),
        ("index.docker.io:443", "searching"),
    ),
}
# set → what the program asks where the user configured nothing
DEFAULTS: dict[str, tuple[tuple[str, str], ...]] = {
    "pip": (("https://pypi.org", "the index"), ("https://files.pythonhosted.org", "the packages")),
    "npm": (("https://registry.npmjs.org", "the registry"),),
    "cargo": (("https://index.crates.io", "the index"), ("https://static.crates.io", "the packages")),
    "go": (("https://proxy.golang.org", "the modules"), ("https://sum.golang.org", "their checksums")),
    "apt": (),
    "nix": (("https://cache.nixos.org", "the binary cache"),),
}
NAMES = (*SETS, *DEFAULTS)
