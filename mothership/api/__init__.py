"""HTTP: the launcher's calls and the admin API, as Flask blueprints over one bundle of collaborators."""
