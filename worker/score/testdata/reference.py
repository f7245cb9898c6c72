"""Writes reference.json and discovery.json beside itself: what scipy and statsmodels make of
ten data sets. They need scipy and statsmodels, which lcbq does not:

    python3 -m venv venv && venv/bin/pip install scipy statsmodels
    venv/bin/python worker/score/testdata/reference.py
"""

import json
import pathlib
import random
import sys

import numpy as np
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

SETS = 10
ROUNDS = 2000  # resamples of a bootstrap
HERE = pathlib.Path(__file__).parent


class Resampler(np.random.RandomState):
    """Draws the questions that lcbq draws: SplitMix64 and the way in which Go's math/rand/v2 makes
    a number below n of it. So both bootstraps see the same resamples."""

    def __init__(self, seed):
        super().__init__(0)
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    def below(self, n):
        if n & (n - 1) == 0:
            return self.next() & (n - 1)
        while True:
            x = (self.next() >> 32) * n
            if x % 2**32 >= 2**32 % n:
                return x >> 32

    def randint(self, low, high=None, size=None, dtype=int, **_):
        return np.array([low + self.below(high - low) for _ in range(int(np.prod(size)))]).reshape(size)


def chances(r):
    """P values from hopeless to sure, some of them equal."""
    p = [r.random() ** r.choice([1, 1, 3, 20]) for _ in range(r.randint(2, 16))]
    if r.random() < 0.5:
        p[0] = p[1]
    return p


def scores(r, i):
    """Pass rates of 12 to 175 questions: some skewed, some nearly all 0 or 1. None are equal: a
    resample whose mean is that of all would be rounded to one side here and to the other there."""
    n = r.choice([12, 40, 175])
    a, b = [(0.1, 0.4), (1, 1), (5, 0.3), (0.3, 8), (2, 2)][i % 5]
    return [r.betavariate(a, b) * (1 - 1e-3 * j / n) for j in range(n)]


def reference(r):
    sets = []
    for i in range(SETS):
        p = chances(r)
        won, lost = r.randint(0, 30), r.randint(1, 30)
        table = [[50, won], [lost, 20]]
        beta = []
        for _ in range(4):
            a, b = r.choice([0.5, 1, 3.5, 120, r.uniform(0.01, 500)]), r.choice([1.5, 1, 40, 9000, r.uniform(0.01, 500)])
            beta += [[a, b, q, float(stats.beta.ppf(q, a, b))] for q in (0.0005, 0.025, 0.5, 0.975)]
        x = np.array(scores(r, i))
        mean, error = x.mean(), stats.sem(x)
        low, high = stats.t.interval(0.95, len(x) - 1, loc=mean, scale=error)
        boot = stats.bootstrap((x,), np.mean, n_resamples=ROUNDS, method="BCa", random_state=Resampler(i)).confidence_interval
        sets.append({
            "p": p, "holm": multipletests(p, method="holm")[1].tolist(),
            "won": won, "lost": lost, "mcnemar": float(mcnemar(table, exact=True).pvalue),
            "beta": beta,
            "scores": x.tolist(), "student": [max(0.0, float(low)), min(1.0, float(high))], "bca": [float(boot.low), float(boot.high)],
        })
    return sets


def discovery(r):
    sets = []
    for _ in range(SETS):
        p = chances(r)
        fisher = []
        for _ in range(6):
            n, m = r.randint(1, 400), r.randint(1, 4000)
            c, d = int(n * r.random() ** 4), int(m * r.random() ** 2)
            fisher.append([n, c, m, d, float(stats.fisher_exact([[c, n - c], [d, m - d]], alternative="less").pvalue)])
        sets.append({"p": p, "bh": stats.false_discovery_control(p, method="bh").tolist(), "fisher": fisher})
    return sets


def write(name, made, sets):
    made = f"reference.py with Python {sys.version_info.major}.{sys.version_info.minor}, scipy {scipy.__version__}, statsmodels {statsmodels.__version__}: {made}"
    (HERE / name).write_text(json.dumps({"made_with": made, "sets": sets}, indent=1) + "\n")


write("reference.json", "multipletests(method='holm'), mcnemar(exact=True), stats.beta.ppf, stats.t.interval, stats.bootstrap(method='BCa', n_resamples=2000) with lcbq's resamples", reference(random.Random(20)))
write("discovery.json", "stats.false_discovery_control(method='bh'), stats.fisher_exact(alternative='less')", discovery(random.Random(21)))
