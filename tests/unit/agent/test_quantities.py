"""Quantities, and what a Pod requests in all."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agent.decisions import requests
from app.agent.quantities import format_quantity, parse_quantity
from tests.unit.agent import kubelet as k


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("1", "1"),
        ("100m", "0.1"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+2", "2"),
        ("64Mi", str(64 * 1024**2)),
        ("1.5Gi", str(3 * 1024**3 // 2)),
        ("1e3", "1000"),
        ("1E", str(10**18)),
        ("2E3", "2000"),
        ("12e-1", "1.2"),
        ("1k", "1000"),
        ("250u", "0.00025"),
        ("7n", "0.000000007"),
        ("1Ei", str(1024**6)),
    ],
)
def test_a_quantity_is_read_exactly(text: str, value: str) -> None:
    """As apimachinery's resource.Quantity reads it."""
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "m", "1 Gi", "1gi", "1Kib", "one", "0x1", "1e", "٣", "1.2.3", "--1", "1e999"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """With what one looks like."""
    with pytest.raises(ValueError, match="is not a quantity such as 500m"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("resource", "texts", "wanted"),
    [
        ("cpu", ("500m", "1.5"), "2"),
        ("cpu", ("100m", "250m"), "350m"),
        ("memory", ("512Mi", "512Mi"), "1Gi"),
        ("memory", ("1Gi", "512Mi"), "1536Mi"),
        ("memory", ("500M",), "500M"),
        ("memory", ("1Gi", "500M"), "1573741824"),
        ("ephemeral-storage", ("1Ti",), "1Ti"),
        ("hugepages-2Mi", ("4Mi",), "4Mi"),
        ("nvidia.com/gpu", ("1024",), "1024"),
    ],
)
def test_a_sum_is_written_as_people_write_it(resource: str, texts: tuple[str, ...], wanted: str) -> None:
    """Without rounding anything away."""
    assert format_quantity(resource, sum((parse_quantity(text) for text in texts), Decimal(0))) == wanted


@given(st.integers(0, 10**20))
def test_what_is_written_reads_as_the_same(number: int) -> None:
    """Bytes and thousandths of cores survive the way there and back."""
    assert parse_quantity(format_quantity("memory", Decimal(number))) == number
    millicores = Decimal(number) / 1000
    assert parse_quantity(format_quantity("cpu", millicores)) == millicores


def test_containers_add_up_and_init_containers_take_turns() -> None:
    """2 init containers of 3 and 1 cores, 2 containers of 1 core: 3 cores are enough, 2 GPUs come from one of them."""
    inits = (k.container("big", "i", cpu="3"), k.container("small", "i", cpu="1", memory="10Mi"))
    found = k.spec() | {
        "initContainers": list(inits),
        "containers": [
            k.container("launcher-grpc", "i", cpu="1"),
            {
                **k.container("worker", "i", "1Gi", cpu="1"),
                "resources": {"requests": {"nvidia.com/gpu": "2", "cpu": "1"}},
            },
        ],
    }
    assert requests.in_words(k.pod(of=found)) == "cpu 3, memory 10Mi, nvidia.com/gpu 2"


def test_native_sidecars_count_beside_everything_that_comes_after_them() -> None:
    """The scheduler's rule: with the containers, and with each init container behind them."""
    later = k.container("later", "i", cpu="1950m")
    found = k.spec(sidecars=(k.sidecar(), later))
    assert requests.in_words(k.pod(of=found)).startswith("cpu 2050m, memory 704Mi")
    earlier = k.spec(inits=(later,), sidecars=(k.sidecar(),))
    assert requests.in_words(k.pod(of=earlier)).startswith("cpu 1950m")


def test_the_runtime_class_adds_its_overhead() -> None:
    """A sandboxed runtime needs memory of its own."""
    assert "memory 768Mi" in requests.in_words(k.pod(of=k.spec() | {"overhead": {"memory": "128Mi"}}))


def test_a_pod_that_requests_nothing_says_so() -> None:
    """The scheduler's text must have another reason."""
    assert requests.in_words(k.pod(of={"containers": [{"name": "worker"}]})) == "nothing"
