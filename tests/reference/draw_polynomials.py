"""Coefficients of gpu/src/draw/normal.hpp: minimax polynomials by Remez exchange, rounded to binary32.

    python3 tests/reference/draw_polynomials.py        (needs mpmath)

Prints each polynomial's error before and after rounding and its coefficients as hexadecimal floats, constant term first.
"""
import struct

import mpmath
from mpmath import mp, mpf

mp.prec = 160


def to_float(x):
    return struct.unpack("f", struct.pack("f", float(x)))[0]


def worst(function, weight, coefficients, low, high):
    grid = [low + (high - low) * mpf(i) / 4000 for i in range(4001)]
    errors = [(mpmath.polyval(coefficients[::-1], x) - function(x)) * weight(x) for x in grid]
    return grid, errors


def remez(function, weight, low, high, degree):
    """Minimises max |weight (p - function)| over [low, high]."""
    middle, half = (low + high) / 2, (high - low) / 2
    points = [middle - half * mpmath.cos(mp.pi * i / (degree + 1)) for i in range(degree + 2)]
    for _ in range(40):
        matrix, right = mpmath.matrix(degree + 2), mpmath.matrix(degree + 2, 1)
        for row, x in enumerate(points):
            for column in range(degree + 1):
                matrix[row, column] = x**column
            matrix[row, degree + 1] = (-1) ** row / weight(x)
            right[row] = function(x)
        solution = mpmath.lu_solve(matrix, right)
        coefficients = [solution[i] for i in range(degree + 1)]
        grid, errors = worst(function, weight, coefficients, low, high)
        extrema = []
        for x, error in zip(grid, errors):
            if extrema and (extrema[-1][1] > 0) == (error > 0):
                if abs(error) > abs(extrema[-1][1]):
                    extrema[-1] = (x, error)
            else:
                extrema.append((x, error))
        while len(extrema) > degree + 2:
            extrema.pop(0 if abs(extrema[0][1]) < abs(extrema[-1][1]) else -1)
        if len(extrema) < degree + 2:
            break
        points = [x for x, _ in extrema]
        sizes = [abs(error) for _, error in extrema]
        if max(sizes) < mpf("1.0001") * min(sizes):
            break
    return coefficients


def show(name, function, weight, low, high, degree):
    coefficients = remez(function, weight, low, high, degree)
    rounded = [to_float(c) for c in coefficients]
    before = max(abs(e) for e in worst(function, weight, coefficients, low, high)[1])
    after = max(abs(e) for e in worst(function, weight, [mpf(c) for c in rounded], low, high)[1])
    print(f"{name}, degree {degree}: {mpmath.nstr(before, 3)}, rounded {mpmath.nstr(after, 3)}")
    print("   ", ", ".join(c.hex().replace("0000000p", "p") for c in rounded))


def logarithm(f):
    return -2 * mpmath.log1p(f) / f if f else mpf(-2)


def cosine(y):
    return mpmath.cos(mp.pi * mpmath.sqrt(y))


def sine(y):
    return mpmath.sin(mp.pi * mpmath.sqrt(y)) / mpmath.sqrt(y) if y else mp.pi


for degree in (6, 7, 8):
    show("-2 log1p(f) / f on [-1/2, 0], relative", logarithm, lambda f: 1 / abs(logarithm(f)), mpf(-1) / 2, mpf(0), degree)
for degree in (3, 4):
    show("cos(pi sqrt y) on [0, 1/4], absolute", cosine, lambda y: mpf(1), mpf(0), mpf(1) / 4, degree)
for degree in (3, 4):
    show("sin(pi sqrt y) / sqrt y on [0, 1/4], times sqrt y", sine, lambda y: mpmath.sqrt(y) + mpf("1e-9"), mpf("1e-12"), mpf(1) / 4, degree)
