"""The course on a JupyterHub: one installation for everybody; each learner has notebooks and models of their own.

See teaching.md, "On a JupyterHub". To be loaded from the hub's own `jupyterhub_config.py`:

    load_subconfig("/opt/course/docs/jupyterhub_config.py")
"""

COURSE = "/opt/course"  # where `python3 start.py --version` was run once, readable by everybody

# Runs as the learner, so it can write to the learner's folder alone. What is there already is left as it is.
BEGIN = """
cd && mkdir -p course && cd course || exit
for name in notebooks exercises docs README.md; do
    [ -e "$name" ] || cp -R "$0/$name" . || exit
done
export COURSE_HOME="${COURSE_HOME:-$HOME/course-models}"
exec "$0/.venv/bin/jupyterhub-singleuser" "$@"
"""

c = get_config()  # type: ignore[name-defined]  # noqa: F821 (JupyterHub gives it)
c.Spawner.cmd = ["/bin/sh", "-c", BEGIN, COURSE]
c.Spawner.default_url = "/lab/tree/notebooks/00_welcome.ipynb"
c.Spawner.environment = {"COURSE_THREADS": "2"}  # as many cores as a learner may use at once
