"""The code understands what a platform deploys: the files of `deploy/` and the page that explains them.

`problems` checks most of them as text, so that tests can also give it mistakes to find. The slow tests use the files:
they build the image from the Dockerfile, and check the configuration of HAProxy and the alerts with the programs
themselves. HAProxy and Prometheus must be installed for them.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import MAGIC_NUMBER
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import anyio
import compose_spec
import httpx2
import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs]
import pytest
import yaml
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from inkbox_mcp.commands.parser import server_parser
from inkbox_mcp.settings.options import Settings, SettingsError, options
from inkbox_mcp.settings.sources import load
from inkbox_mcp.telemetry.metrics import PrometheusMetrics
from tests.support.agents import KEY, Agent
from tests.support.alike import choices
from tests.support.processes import COMMAND, Running, environment, start_process

pytestmark = pytest.mark.linux

ROOT = Path(__file__).parent.parent.parent
OPERATING = "docs/operating.md"
FILES = [
    *(f"deploy/{name}" for name in ("Dockerfile", "kubernetes.yaml", "compose.yaml", "haproxy.cfg")),
    *(f"deploy/{name}" for name in ("alerts.yaml", "alerts.test.yaml", "Dockerfile.dockerignore", "entrypoint")),
    OPERATING,
]
KUBERNETES = [f"1.{minor}" for minor in range(29, 38)]

TOKEN = "a-token-of-the-platform-in-32-bytes"
ALIVE, READY, METRICS, MCP = "/healthz", "/readyz", "/metrics", "/mcp"
RESOURCE = "/.well-known/oauth-protected-resource"

Texts = dict[str, str]


def texts() -> Texts:
    """Read the files into a dictionary by their path from the root."""
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in FILES}


def program(command: str) -> str:
    """Find a program that these tests need; a missing program fails the test and does not skip it."""
    beside = Path(sys.executable).parent / command
    path = str(beside) if beside.exists() else shutil.which(command)
    assert path, f"{command} is not installed"
    return path


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile."""

    name: str
    words: tuple[str, ...]
    flags: tuple[str, ...]
    is_exec: bool


def instructions(text: str) -> list[Instruction]:
    """Parse a Dockerfile as Docker does."""
    import dockerfile  # the package exists only for Linux, but these tests are collected everywhere

    parsed = cast("list[Any]", dockerfile.parse_string(text))  # pyright: ignore[reportUnknownMemberType]
    return [Instruction(each.cmd.upper(), each.value, each.flags, each.json) for each in parsed]


def last(text: str, name: str) -> Instruction:
    """Return the last instruction of this name, because Docker uses the last one."""
    return [each for each in instructions(text) if each.name == name][-1]


def flags(words: list[str]) -> dict[str, str]:
    """Return the options in a container's arguments, by name."""
    found: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("--"):
            found[word[2:].replace("-", "_")] = "true" if following.startswith("--") else following
    return found


@cache
def documents(text: str) -> list[Any]:
    """Parse YAML. The result is cached, so callers must not change it."""
    return list(yaml.safe_load_all(text))


def manifest(text: str, kind: str) -> dict[str, Any]:
    """Return the one Kubernetes object of a kind."""
    (found,) = (each for each in documents(text) if each["kind"] == kind)
    return found


def container(text: str) -> dict[str, Any]:
    """Return the Deployment's one container."""
    (found,) = manifest(text, "Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def host(files: Texts) -> dict[str, str]:
    """Return the variable by which the image's entry point lets HTTP be reached."""
    return dict(re.findall(r'export (INKBOX_MCP_HOST)="\$\{INKBOX_MCP_HOST:-(\S+)\}"', files["deploy/entrypoint"]))


def platform_environment(files: Texts) -> dict[str, str]:
    """Return the server's variables from the ConfigMap and from the Secret of the instructions."""
    text = files["deploy/kubernetes.yaml"]
    secrets = re.findall(r"^# .*--from-literal=(\w+)=\"\$\(openssl rand -hex 32\)\"", text, re.MULTILINE)
    return {**manifest(text, "ConfigMap")["data"], **dict.fromkeys(secrets, TOKEN)}


def replicas(files: Texts) -> dict[str, dict[str, Any]]:
    """Return compose's services that run this server."""
    (compose,) = documents(files["deploy/compose.yaml"])
    return {name: service for name, service in compose["services"].items() if "build" in service}


def compose_environment(service: dict[str, Any]) -> dict[str, str]:
    """Return a service's environment for a user who sets only the required variables."""
    return {
        name: re.sub(r"\$\{\w+:\?[^}]*\}", TOKEN, re.sub(r"\$\{\w+:-(\w*)\}", r"\1", value))
        for name, value in service["environment"].items()
    }


def rules(files: Texts) -> dict[str, dict[str, Any]]:
    """Return the alert rules, by name."""
    (document,) = documents(files["deploy/alerts.yaml"])
    (group,) = document["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def queries(files: Texts) -> list[str]:
    """Return the PromQL of the panels from the table on the page."""
    table = files[OPERATING].split("| panel | PromQL |")[1].split("\n\n")[0]
    found = re.findall(r"^\| .*? \| `(.*)` \|$", table, re.MULTILINE)
    return [query.replace("\\|", "|") for query in found]


def metric_names() -> set[str]:
    """Return the names of all metrics that the server exposes, and `up`."""
    body = PrometheusMetrics().exposition()[0].decode()
    types = dict(line.split()[2:4] for line in body.splitlines() if line.startswith("# TYPE"))
    suffixes = {"histogram": ("_bucket", "_count", "_sum")}
    return {f"{name}{suffix}" for name, kind in types.items() for suffix in suffixes.get(kind, ("",))} | {"up"}


def seconds(text: str) -> float:
    """Return the seconds of a duration in compose's notation."""
    return float(compose_spec.parse_duration(text))


def problems(files: Texts) -> Iterator[str]:
    """Yield each part of these files that does not fit the code or another file."""
    yield from _unknown_options(files)
    yield from _image_problems(files)
    yield from _kubernetes_problems(files)
    yield from _compose_problems(files)
    yield from _haproxy_problems(files)
    yield from _alert_problems(files)


def _unknown_options(files: Texts) -> Iterator[str]:
    variables = {option.environment for option in options()}
    switches = {option.flag for option in options()}
    for name, text in files.items():
        for variable in set(re.findall(r"\bINKBOX_[A-Z_]+\b", text)) - variables:
            yield f"{name}: {variable} is no option"
    for code in re.findall(r"`(--[^`]*)`", files[OPERATING]):
        for flag in set(re.findall(r"--[a-z-]+", code)) - switches:
            yield f"{OPERATING}: {flag} is no option"


def _image_problems(files: Texts) -> Iterator[str]:
    text = files["deploy/Dockerfile"]
    arguments = container(files["deploy/kubernetes.yaml"])["args"]
    try:
        given = {**platform_environment(files), **host(files)}
        settings = load(flags(arguments), given, Path("/dev/null/config"))
        if settings.is_local or not settings.http:
            yield "deploy/kubernetes.yaml: nobody outside of the container reaches the server"
        yield from _drain_problems("deploy/kubernetes.yaml", settings, _grace(files))
        yield from _shared_key_problems("deploy/kubernetes.yaml", settings)
    except SettingsError as error:
        yield f"deploy/Dockerfile with deploy/kubernetes.yaml: {error}"
        return
    for variable in platform_environment(files):
        if variable.removeprefix("INKBOX_MCP_").lower() in flags(arguments):
            yield f"{variable}: the container's argument wins over it"
    if last(text, "EXPOSE").words != (str(settings.port),):
        yield "EXPOSE is not the port that is served"
    if not last(text, "ENTRYPOINT").is_exec or "\nexec inkbox-mcp " not in files["deploy/entrypoint"]:
        yield "a shell stands between Docker and the process"
    if unwanted := [each.name for each in instructions(text) if each.name in {"CMD", "HEALTHCHECK"}]:
        yield f"{unwanted[0]}: a client that starts the image over stdio gives no arguments and serves no HTTP"
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", last(text, "USER").words[0]):
        yield "USER is no number, or root's"
    if last(text, "STOPSIGNAL").words != ("SIGTERM",):
        yield "SIGTERM is the only signal that lets calls finish"
    sent = {line[1:] for line in files["deploy/Dockerfile.dockerignore"].splitlines() if line.startswith("!")}
    for each in instructions(text):
        if each.name == "COPY" and not each.flags:
            yield from (f"{source} is not sent to the build" for source in each.words[:-1] if source not in sent)


def _shared_key_problems(name: str, settings: Settings) -> Iterator[str]:
    if not settings.request_state_keys:
        yield f"{name}: a replica does not know the questions that another one asked"


def _grace(files: Texts) -> float:
    pod = manifest(files["deploy/kubernetes.yaml"], "Deployment")["spec"]["template"]["spec"]
    return float(pod["terminationGracePeriodSeconds"])


def _drain_problems(name: str, settings: Settings, grace: float) -> Iterator[str]:
    if grace < settings.drain_timeout + 5:
        yield f"{name}: SIGKILL comes before the drain timeout is over"
    if settings.drain_timeout / 2 < settings.timeout:
        yield f"{name}: half of the drain timeout does not hold the longest call"


def _kubernetes_problems(files: Texts) -> Iterator[str]:
    name = "deploy/kubernetes.yaml"
    text = files[name]
    deployment, service = manifest(text, "Deployment"), manifest(text, "Service")
    pod = deployment["spec"]["template"]
    probes = {"startupProbe": ALIVE, "livenessProbe": ALIVE, "readinessProbe": READY}
    port = container(text)["ports"][0]
    for probe, path in probes.items():
        if container(text)[probe]["httpGet"] != {"path": path, "port": port["name"]}:
            yield f"{name}: {probe} must ask {path} at the port {port['name']}"
    if (str(port["containerPort"]),) != last(files["deploy/Dockerfile"], "EXPOSE").words:
        yield f"{name}: containerPort is not the image's"
    if service["spec"]["ports"][0]["targetPort"] != port["name"]:
        yield f"{name}: the Service leads to no port"
    if pod["spec"].get("enableServiceLinks") is not False:
        yield f"{name}: variables made from the Service's name would stop the start"
    if "replicas" in deployment["spec"]:
        yield f"{name}: the autoscaler sets the replicas"
    labels = pod["metadata"]["labels"]
    policies = [manifest(text, kind)["spec"] for kind in ("PodDisruptionBudget", "NetworkPolicy")]
    selectors = [deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"]]
    selectors += [policy.get("selector", policy.get("podSelector"))["matchLabels"] for policy in policies]
    if any(selector != labels for selector in selectors):
        yield f"{name}: a selector does not select the pods"
    for ingress in manifest(text, "Ingress")["spec"]["rules"]:
        for path in ingress["http"]["paths"]:
            if path["path"] not in {MCP, RESOURCE}:
                yield f"{name}: {path['path']} is let through"
            if path["backend"]["service"]["port"]["name"] != service["spec"]["ports"][0]["name"]:
                yield f"{name}: the Ingress leads to no port"


def _compose_problems(files: Texts) -> Iterator[str]:
    name = "deploy/compose.yaml"
    try:
        compose_spec.PyCompose.from_json(json.dumps(documents(files[name])[0]))
    except ValueError as error:
        yield f"{name}: {error}"
        return
    for replica, service in replicas(files).items():
        try:
            given = {**compose_environment(service), **host(files)}
            settings = load(flags(service["command"]), given, Path("/dev/null/config"))
            yield from _drain_problems(name, settings, seconds(service["stop_grace_period"]))
            yield from _shared_key_problems(name, settings)
        except SettingsError as error:
            yield f"{name}: {error}"
            continue
        if f"server {replica} {replica}:{settings.port}" not in files["deploy/haproxy.cfg"]:
            yield f"{name}: HAProxy does not know {replica}"
        if ALIVE not in service["healthcheck"]["test"][-1]:
            yield f"{name}: the health check does not ask {ALIVE}"


def _haproxy_problems(files: Texts) -> Iterator[str]:
    name = "deploy/haproxy.cfg"
    text = files[name]
    timeout = Settings().timeout
    if re.findall(r"http-check send meth GET uri (\S+)", text) != [READY]:
        yield f"{name}: only {READY} says whether calls are welcome"
    for side in ("client", "server"):
        if not any(float(each) > timeout for each in re.findall(rf"^    timeout {side} (\d+)s$", text, re.MULTILINE)):
            yield f"{name}: timeout {side} must be more than a call may take"
    if re.findall(r"\{ path(?:_beg)? (\S+) \}", text) != [MCP, RESOURCE]:
        yield f"{name}: other paths are let through than clients need"
    if re.findall(r"^    retry-on (.*)$", text, re.MULTILINE) != ["conn-failure"]:
        yield f"{name}: a call that was sent must not be sent again"


def _alert_problems(files: Texts) -> Iterator[str]:
    known = metric_names()
    for query in [*queries(files), *(rule["expr"] for rule in rules(files).values())]:
        for metric in set(re.findall(r"\b(?:inkbox_mcp|process)_\w+|\bup\b", query)) - known:
            yield f"{metric} is no metric of this server: {query}"
    (job,) = yaml.safe_load(files[OPERATING].split("```yaml\n")[1].split("```")[0])
    if set(re.findall(r'job="([^"]+)"', files["deploy/alerts.yaml"])) != {job["job_name"]}:
        yield f"{OPERATING}: the alerts look at another job than {job['job_name']}"
    headings = re.findall(r"^### (\w+)$", files[OPERATING], re.MULTILINE)
    if headings != list(rules(files)):
        yield f"{OPERATING}: the alerts in the runbook are others"
    for alert, rule in rules(files).items():
        if rule["annotations"]["runbook"] != f"{OPERATING}#{alert.lower()}":
            yield f"{alert}: no runbook"
        if rule["labels"]["severity"] not in {"page", "ticket"}:
            yield f"{alert}: whom it wakes is not known"
    tried = [
        (each["alertname"], "exp_alerts" in each)
        for test in documents(files["deploy/alerts.test.yaml"])[0]["tests"]
        for each in test["alert_rule_test"]
    ]
    for alert in rules(files):
        if not {(alert, True), (alert, False)} <= set(tried):
            yield f"{alert}: not proven both to fire and to be quiet"
    fewest = manifest(files["deploy/kubernetes.yaml"], "HorizontalPodAutoscaler")["spec"]["minReplicas"]
    if not rules(files)["InkboxMcpReplicasMissing"]["expr"].endswith(f"< {fewest}"):
        yield "InkboxMcpReplicasMissing: not the autoscaler's minReplicas"


def test_the_files_fit_the_code_and_each_other() -> None:
    """A change of an option, port, path, time or metric fails here if another file needs it, too."""
    assert list(problems(texts())) == []


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("deploy/Dockerfile", "EXPOSE 8000", 'CMD ["--http"]\nEXPOSE 8000'),
        ("deploy/Dockerfile", "EXPOSE 8000", "EXPOSE 8080"),
        ("deploy/Dockerfile", 'ENTRYPOINT ["entrypoint"]', "ENTRYPOINT entrypoint"),
        ("deploy/entrypoint", "exec inkbox-mcp", "inkbox-mcp"),
        ("deploy/entrypoint", "0.0.0.0", "127.0.0.1"),
        ("deploy/Dockerfile", "USER 10001:10001", "USER root"),
        ("deploy/Dockerfile", "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGINT"),
        ("deploy/Dockerfile.dockerignore", "!LICENSE\n", ""),
        ("deploy/kubernetes.yaml", "INKBOX_MCP_RATE_LIMIT: 600/m", "INKBOX_MCP_RATELIMIT: 600/m"),
        ("deploy/kubernetes.yaml", "INKBOX_MCP_RATE_LIMIT: 600/m", "INKBOX_MCP_RATE_LIMIT: 600/minute"),
        ("deploy/kubernetes.yaml", "INKBOX_MCP_RATE_LIMIT: 600/m", "INKBOX_MCP_LOG_FORMAT: text"),
        (
            "deploy/kubernetes.yaml",
            'INKBOX_MCP_PER_REQUEST_KEYS: "true"',
            'INKBOX_MCP_PER_REQUEST_KEYS: "true"\n  INKBOX_API_KEY: key',
        ),
        ("deploy/kubernetes.yaml", "# INKBOX_MCP_AUTH_ISSUER", "# INKBOX_MCP_ISSUER"),
        ("deploy/kubernetes.yaml", "--stateless", "--stateles"),
        ("deploy/kubernetes.yaml", "path: /readyz", "path: /healthz"),
        ("deploy/kubernetes.yaml", "containerPort: 8000", "containerPort: 8080"),
        ("deploy/kubernetes.yaml", "targetPort: http", "targetPort: web"),
        ("deploy/kubernetes.yaml", "terminationGracePeriodSeconds: 75", "terminationGracePeriodSeconds: 60"),
        ("deploy/kubernetes.yaml", 'DRAIN_TIMEOUT: "60"', 'DRAIN_TIMEOUT: "40"'),
        ("deploy/kubernetes.yaml", "enableServiceLinks: false", "enableServiceLinks: true"),
        ("deploy/kubernetes.yaml", "path: /mcp", "path: /"),
        ("deploy/kubernetes.yaml", "minReplicas: 3", "minReplicas: 2"),
        ("deploy/compose.yaml", "stop_grace_period: 75s", "stop_grace_period: 10s"),
        ("deploy/compose.yaml", "stop_grace_period: 75s", "stop_graceperiod: 75s"),
        ("deploy/compose.yaml", "INKBOX_MCP_SANDBOX_DB", "INKBOX_MCP_SANDBOXDB"),
        ("deploy/compose.yaml", 'INKBOX_MCP_PER_REQUEST_KEYS: "true"', 'INKBOX_MCP_PER_REQUEST_KEYS: "false"'),
        ("deploy/compose.yaml", "--http", "--metrics"),
        ("deploy/compose.yaml", "'/healthz'", "'/health'"),
        ("deploy/compose.yaml", "mcp-3: *replica", "mcp-4: *replica"),
        ("deploy/compose.yaml", "    INKBOX_MCP_REQUEST_STATE_KEYS:", "    # INKBOX_MCP_REQUEST_STATE_KEYS:"),
        ("deploy/kubernetes.yaml", "--from-literal=INKBOX_MCP_REQUEST_STATE_KEYS=", "--from-literal=KEYS="),
        ("deploy/haproxy.cfg", "uri /readyz", "uri /healthz"),
        ("deploy/haproxy.cfg", "timeout server 60s", "timeout server 30s"),
        ("deploy/haproxy.cfg", "retry-on conn-failure", "retry-on all-retryable-errors"),
        ("deploy/haproxy.cfg", "{ path /mcp }", "{ path_beg / }"),
        ("deploy/alerts.yaml", "inkbox_mcp_upstream_retries_total", "inkbox_mcp_retries_total"),
        ("deploy/alerts.yaml", "alert: InkboxMcpSlow", "alert: InkboxMcpTooSlow"),
        ("deploy/alerts.test.yaml", "- { eval_time: 80m, alertname: InkboxMcpSlow }", ""),
        (OPERATING, "job_name: inkbox-mcp", "job_name: inkbox"),
        (OPERATING, "### InkboxMcpSlow", "### InkboxMcpSlowness"),
        (OPERATING, "`--stateless --confirm always`", "`--stateless --confirmation always`"),
        (OPERATING, "inkbox_mcp_calls_in_flight", "inkbox_mcp_in_flight"),
    ],
    ids=lambda text: text[:60],
)
def test_a_mistake_in_a_file_is_found(file: str, right: str, wrong: str) -> None:
    """This shows that `problems` does not accept everything."""
    files = texts()
    assert right in files[file]
    assert list(problems({**files, file: files[file].replace(right, wrong)}))


@pytest.mark.parametrize("version", choices(KUBERNETES, KUBERNETES[1:-1]))
def test_kubernetes_takes_the_manifests(version: str) -> None:
    """The strict schemas of each version do not allow unknown fields."""
    kinds: list[str] = []
    for each in documents(texts()["deploy/kubernetes.yaml"]):
        kubernetes_validate.validate(each, version, strict=True)
        kinds.append(each["kind"])
    assert len(kinds) == len(set(kinds)) == 8


def test_kubernetes_refuses_a_misspelt_field() -> None:
    """This shows that the schemas are strict."""
    text = texts()["deploy/kubernetes.yaml"].replace("enableServiceLinks", "enableServicesLinks")
    deployment = manifest(text, "Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[-1], strict=True)


def test_the_pod_is_as_restricted_as_its_namespace_demands() -> None:
    """The namespace enforces the restricted Pod Security Standard and would refuse other pods."""
    text = texts()["deploy/kubernetes.yaml"]
    pod = manifest(text, "Deployment")["spec"]["template"]["spec"]
    assert "restricted" in manifest(text, "Namespace")["metadata"]["labels"].values()
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container(text)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == "10001:10001"


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [(None, None, None), ("10001:10001", "root", "DL3002"), ("FROM ${BASE}\n", "FROM python\n", "DL3006")],
    ids=["as it is", "root", "no version"],
)
def test_hadolint_judges_the_dockerfile(right: str | None, wrong: str | None, rule: str | None) -> None:
    """The linter accepts the file and finds each mistake that the test adds."""
    text = texts()["deploy/Dockerfile"]
    if right and wrong:
        text = text.replace(right, wrong)
    linted = subprocess.run([program("hadolint"), "--no-color", "-"], input=text, capture_output=True, text=True)
    assert (rule or "") in linted.stdout
    assert bool(linted.stdout) == bool(rule)


def test_the_template_unit_starts_a_process_on_its_port() -> None:
    """The lines of the page are complete, except for the authentication in the environment file."""
    unit = texts()[OPERATING].split("```ini\n")[1].split("```")[0]
    assert "`systemctl enable --now " in texts()[OPERATING]  # which does nothing without this section
    assert "[Install]\n  WantedBy=" in unit
    command = re.search(r"ExecStart=/usr/local/bin/inkbox-mcp (.*)", unit)
    assert command
    chosen = server_parser("", "").choose(command[1].replace("%i", "8001").split())
    settings = load(chosen, {})
    assert (settings.http, settings.stateless, settings.port) == (True, True, 8001)


async def test_every_path_that_is_asked_is_served_and_the_call_that_proves_a_deployment_works(tmp_path: Path) -> None:
    """The server starts as in Kubernetes: with the image's arguments, the ConfigMap and the Secret, on the sandbox.

    The page's command fails without one of its headers.
    """
    command = texts()[OPERATING].split("curl --fail http://127.0.0.1:8000/mcp")[1].split("```")[0]
    words = shlex.split(
        command.replace("\\\n", " ").replace("$INKBOX_MCP_TOKEN", TOKEN).replace("$INKBOX_API_KEY", KEY)
    )
    given = [word for option, word in pairwise(words) if option == "--header"]
    headers = dict(header.split(": ") for header in given)
    (port,) = free_ports(1)
    variables = {**platform_environment(texts()), "INKBOX_MCP_PORT": str(port)}
    variables |= {"INKBOX_MCP_SANDBOX": "true", "INKBOX_MCP_SANDBOX_DB": ":memory:"}
    async with (
        launch(served(), tmp_path, {**variables, **on_path(tmp_path)}) as server,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        await server.log("serving MCP at ")
        for path in (ALIVE, READY, METRICS):
            assert (await http.get(path)).status_code == 200, path
        assert (await http.post(MCP, json={})).status_code == 401
        for left_out, status, part in (
            ("", 200, '"isError":false'),
            ("Authorization", 401, ""),
            ("X-Inkbox-API-Key", 200, "X-Inkbox-API-Key"),
        ):
            sent = {name: value for name, value in headers.items() if name != left_out}
            answer = await http.post(MCP, content=words[-1], headers=sent)
            assert (answer.status_code, part in answer.text) == (status, True), answer.text


@pytest.mark.parametrize(
    ("arguments", "variables", "address"),
    [
        ((), {}, None),
        (("doctor", "--json"), {}, None),
        (("--tools", "whoami"), {"INKBOX_MCP_HTTP": ""}, None),
        (("--http",), {}, "0.0.0.0"),
        (("--port", "9000", "--http"), {}, "0.0.0.0"),
        ((), {"INKBOX_MCP_HTTP": "true"}, "0.0.0.0"),
        (("--http",), {"INKBOX_MCP_HOST": "::"}, "::"),
    ],
    ids=["nothing", "a command", "options of stdio", "--http", "--http with others", "by variable", "with an address"],
)
def test_the_entry_point_lets_http_be_reached_and_changes_nothing_else(
    arguments: tuple[str, ...], variables: dict[str, str], address: str | None, tmp_path: Path
) -> None:
    """Over stdio, a variable for HTTP would be one warning in the client's log at every start."""
    command = tmp_path / "inkbox-mcp"
    command.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "host=$INKBOX_MCP_HOST"\n', encoding="utf-8")
    command.chmod(0o755)
    own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **variables}
    ran = subprocess.run([ROOT / "deploy/entrypoint", *arguments], env=own, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [*arguments, f"host={address or ''}"]


@pytest.mark.slow
async def test_a_client_that_starts_the_image_is_served_over_stdio(tmp_path: Path) -> None:
    """With `docker run -i --rm IMAGE`, no arguments, the server answers and has nothing to warn of."""
    variables = {"INKBOX_MCP_SANDBOX": "true", "INKBOX_MCP_SANDBOX_DB": ":memory:", **on_path(tmp_path)}
    entry = StdioServerParameters(command=str(ROOT / "deploy/entrypoint"), env=environment(tmp_path, **variables))
    with (tmp_path / "log").open("a") as log:
        async with Client(stdio_client(entry, errlog=log)) as client:
            assert await Agent(client).ask("whoami")
    assert "WARNING" not in (tmp_path / "log").read_text(encoding="utf-8").upper()


async def test_it_does_not_start_before_someone_says_who_may_call(tmp_path: Path) -> None:
    """The image has no default for authentication, so the operator must choose it."""
    async with launch(served(), tmp_path, on_path(tmp_path)) as server:
        ended = await server.end()
    assert ended.status == 2
    assert "INKBOX_MCP_TOKEN" in ended.stderr


@dataclass
class Image:
    """The files that a Dockerfile makes, in a directory, with this machine's Python as the base."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])
    user: str = "0:0"

    def build(self, text: str) -> None:
        """Run each instruction; all stages share the directory."""
        workdir = self.root
        python = Path(sys.executable).parent
        for each in instructions(text):
            match each.name:
                case "FROM":
                    workdir, self.environment = self.root, {"PATH": f"{python}:{os.environ['PATH']}"}
                case "WORKDIR":
                    workdir = Path(self.below(each.words[0]))
                    workdir.mkdir(parents=True)
                case "COPY" if each.flags:
                    assert each.words[0] == each.words[1], "a virtual environment cannot be moved"
                case "COPY":
                    target = each.words[-1]
                    folder = Path(self.below(target)) if target.startswith("/") else workdir / target
                    for source in each.words[:-1]:
                        _copy(ROOT / source, folder)
                case "RUN":
                    # This machine's own Python must stay unchanged, so its bytecode is written elsewhere.
                    of_python = {} if "/opt/" in each.words[0] else {"PYTHONPYCACHEPREFIX": str(self.root / "compiled")}
                    command = ["sh", "-ec", self.below(each.words[0])]
                    subprocess.run(
                        command, cwd=workdir, env={**os.environ, **self.environment, **of_python}, check=True
                    )
                case "ENV":
                    pairs = zip(each.words[::2], each.words[1::2], strict=True)
                    for name, value in pairs:
                        self.environment[name] = self.below(value).replace("$PATH", self.environment["PATH"])
                case "USER":
                    self.user = each.words[0]
                case _:
                    pass

    def find(self, command: str) -> str:
        """Find a command on the image's PATH."""
        path = shutil.which(command, path=self.environment["PATH"])
        assert path
        assert Path(path).is_relative_to(self.root), path
        return path

    def below(self, text: str) -> str:
        """Move the image's own paths into the directory."""
        return re.sub(r"(?<![\w.])/(opt|src)\b", rf"{self.root}/\1", text)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


@pytest.fixture(scope="module")
def image() -> Generator[Image]:
    """Build the image; not in /tmp, because a container's /tmp is empty."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        root = Path(directory)
        root.chmod(0o755)
        image = Image(root)
        image.build(texts()["deploy/Dockerfile"])
        yield image


def contained(image: Image, *command: str) -> list[str]:
    """Return a command that runs as in a container: without root or capabilities; only an empty /tmp can be written.

    Only root can set this up. Other users run the command itself, which is then not root either.
    """
    if os.geteuid():
        return list(command)
    user, group = image.user.split(":")
    drop = f"setpriv --reuid {user} --regid {group} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
    read_only = "mount -o remount,bind,ro / && mount -t tmpfs -o mode=1777 tmpfs /tmp"
    return [
        "unshare",
        "--mount",
        "sh",
        "-ec",
        f'{_readable_python()}{read_only} && cd / && exec {drop} "$@"',
        "sh",
        *command,
    ]


def _readable_python() -> str:
    """Return what shows this machine's Python to everybody, as an image does, if it is below a folder of root alone."""
    home = Path(sys.base_prefix)
    closed = [folder for folder in reversed(home.parents) if not folder.stat().st_mode & 0o001]
    if not closed:
        return ""
    moved = f"mount --bind {home} /mnt && mount -t tmpfs -o mode=755 tmpfs {closed[0]}"
    return f"{moved} && mkdir -p {home} && mount --bind /mnt {home} && "


def served() -> list[str]:
    """Return what runs in Kubernetes' container: the image's entry point with the manifest's arguments."""
    return [str(ROOT / "deploy/entrypoint"), *container(texts()["deploy/kubernetes.yaml"])["args"]]


def on_path(folder: Path) -> dict[str, str]:
    """Put `inkbox-mcp` on a PATH as in the image, but with the package of this checkout."""
    command = folder / "inkbox-mcp"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def launch(command: list[str], home: Path, variables: dict[str, str]) -> AbstractAsyncContextManager[Running]:
    """Start a command with these environment variables; end it in every case."""
    return start_process(*command, home=home, stdout=subprocess.DEVNULL, **variables)


def free_ports(count: int) -> list[int]:
    """Return unused ports."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def owner(port: int) -> int:
    """Return the user whose process listens on a port."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, _, state, _, _, _, user, *_ = line.split()
        if local.endswith(f":{port:04X}") and state == "0A":
            return int(user)
    raise AssertionError(f"nobody listens on {port}")


@pytest.mark.slow
async def test_the_image_is_built_runs_without_root_and_stops(image: Image, tmp_path: Path) -> None:
    """The test runs the Dockerfile's steps, entry point, arguments and health check without Docker."""
    text = texts()["deploy/Dockerfile"]
    command, *_ = last(text, "ENTRYPOINT").words
    entry = image.find(command)
    port, closed = free_ports(2)
    variables = {
        **image.environment,
        **platform_environment(texts()),
        "INKBOX_MCP_PORT": str(port),
        "PYTHONVERBOSE": "1",
    }
    loaded: list[str] = []
    missing = tmp_path / "missing"
    arguments = container(texts()["deploy/kubernetes.yaml"])["args"]
    async with launch(contained(image, entry, *arguments), missing, variables) as server:
        while "serving MCP at" not in (line := await server.log("")):
            loaded.append(line)
        _, python, *code = replicas(texts())["mcp-1"]["healthcheck"]["test"]
        for asked, is_healthy in ((port, True), (closed, False)):
            # The health check must not use a proxy from the environment to reach its own process.
            own = {**variables, "INKBOX_MCP_PORT": str(asked), "http_proxy": "http://proxy.invalid"}
            check = await anyio.run_process(contained(image, image.find(python), *code), env=own, check=False)
            assert (check.returncode == 0) == is_healthy
        assert owner(port) == (os.geteuid() or int(image.user.split(":")[0]))
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            assert "inkbox_mcp_calls_in_flight" in (await http.get(METRICS)).text
            assert (await http.post(MCP, json={})).status_code == 401
        server.signal(signal.SIGTERM)
        ended = await server.end()
    assert ended.status == 0
    # Python logs which modules it read as bytecode and which it compiled.
    loaded += ended.stderr.splitlines()
    assert any("inkbox_mcp/http/app" in line and " matches " in line for line in loaded)
    assert not [line for line in loaded if line.startswith(f"# code object from {image.root}")]


@pytest.mark.slow
async def test_the_image_serves_a_client_over_stdio_and_plays_the_demo(image: Image, tmp_path: Path) -> None:
    """It needs no home, no network and no place to write but /tmp."""
    entry = image.find(last(texts()["deploy/Dockerfile"], "ENTRYPOINT").words[0])
    variables = environment(tmp_path / "missing", **image.environment)
    await anyio.run_process(contained(image, entry, "demo"), env=variables)
    command, *rest = contained(image, entry, "--sandbox", "--sandbox-db", ":memory:")
    server = StdioServerParameters(command=command, args=rest, env=variables)
    async with Client(stdio_client(server)) as client:
        assert await Agent(client).ask("whoami")


@pytest.mark.slow
def test_the_images_bytecode_counts_whatever_the_times_of_its_files(image: Image) -> None:
    """The flag 1 after the magic number marks bytecode that is never compared with its source (PEP 552)."""
    for folder, module in (("compiled", "asyncio/runners"), ("opt", "inkbox_mcp/http/app")):
        found = (image.root / folder).rglob(f"{Path(module).name}.*.pyc")
        (compiled,) = (each for each in found if Path(module).parent.name in each.parts)
        assert compiled.read_bytes()[:8] == MAGIC_NUMBER + b"\x01\0\0\0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong", "is_valid"),
    [("", "", True), ("    # stick", "    stick", True), ("balance leastconn", "balance fewest", False)],
    ids=["as it is", "with sessions", "with a mistake"],
)
def test_haproxy_judges_its_configuration(right: str, wrong: str, is_valid: bool) -> None:
    """The lines for servers with sessions, which are commented out, must be valid, too."""
    text = re.sub(r"mcp-\d:8000", "127.0.0.1:8000", texts()["deploy/haproxy.cfg"].replace(right, wrong))
    command = [program("haproxy"), "-c", "-f", "/dev/stdin"]
    checked = subprocess.run(command, input=text, capture_output=True, text=True)
    assert (checked.returncode == 0) == is_valid
    assert ("[WARNING]" in checked.stderr or "[ALERT]" in checked.stderr) != is_valid, checked.stderr


@pytest.mark.slow
def test_prometheus_takes_the_alerts_and_the_panels(tmp_path: Path) -> None:
    """The alerts fire only when they should, and the page's queries are valid PromQL."""
    subprocess.run([program("promtool"), "test", "rules", "alerts.test.yaml"], cwd=ROOT / "deploy", check=True)
    assert len(queries(texts())) >= 10
    recorded = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries(texts()))]
    panels = tmp_path / "panels.yaml"
    panels.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}), encoding="utf-8")
    subprocess.run([program("promtool"), "check", "rules", str(panels), "deploy/alerts.yaml"], cwd=ROOT, check=True)
