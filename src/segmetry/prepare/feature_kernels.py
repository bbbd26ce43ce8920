"""Inner loops of the features of pixels: differences of a smoothed image, and back to full resolution."""

from __future__ import annotations

import numba
import numpy as np

# `s` is smoothed and reaches `m` samples farther than the maps on every side, `before` is the next finer scale. The
# weights wz, wy, wx are the standard deviation in samples, so that derivatives are normalised by the scale.
# The maps are Gaussian, difference, gradient and Laplacian; matrices are stored as in segmetry.prepare.hessian.


@numba.njit(cache=True, nogil=True)
def differences_2d(s, before, m, wy, wx, maps, hessian):
    half, four = np.float32(0.5), np.float32(0.25)
    for i in range(maps.shape[1]):
        # Rows begin one sample early: no index is negative, which is what lets the loop run on several at once.
        up, at, down, old = s[m + i - 1, m - 1 :], s[m + i, m - 1 :], s[m + i + 1, m - 1 :], before[m + i, m:]
        for j in range(maps.shape[2]):
            middle = at[j + 1]
            gy, gx = wy * half * (down[j + 1] - up[j + 1]), wx * half * (at[j + 2] - at[j])
            yy, xx = wy * wy * (down[j + 1] - 2 * middle + up[j + 1]), wx * wx * (at[j + 2] - 2 * middle + at[j])
            maps[0, i, j] = middle
            maps[1, i, j] = middle - old[j]
            maps[2, i, j] = np.sqrt(gy * gy + gx * gx)
            maps[3, i, j] = yy + xx
            hessian[0, i, j] = yy
            hessian[1, i, j] = wy * wx * four * (down[j + 2] - down[j] - up[j + 2] + up[j])
            hessian[2, i, j] = xx


@numba.njit(cache=True, nogil=True)
def products_2d(s, wy, wx, products):
    """Write the products of the first derivatives at all but the outermost samples."""
    half = np.float32(0.5)
    for i in range(products.shape[1]):
        up, at, down = s[i], s[i + 1], s[i + 2]
        for j in range(products.shape[2]):
            gy, gx = wy * half * (down[j + 1] - up[j + 1]), wx * half * (at[j + 2] - at[j])
            products[0, i, j] = gy * gy
            products[1, i, j] = gy * gx
            products[2, i, j] = gx * gx


@numba.njit(cache=True, nogil=True)
def differences_3d(s, before, m, wz, wy, wx, maps, hessian):
    half, four = np.float32(0.5), np.float32(0.25)
    for h in range(maps.shape[1]):
        front, mid, back = s[m + h - 1, m - 1 :], s[m + h, m - 1 :], s[m + h + 1, m - 1 :]
        for i in range(maps.shape[2]):
            n0, n1, n2 = front[i, m - 1 :], front[i + 1, m - 1 :], front[i + 2, m - 1 :]
            m0, m1, m2 = mid[i, m - 1 :], mid[i + 1, m - 1 :], mid[i + 2, m - 1 :]
            k0, k1, k2 = back[i, m - 1 :], back[i + 1, m - 1 :], back[i + 2, m - 1 :]
            old = before[m + h, m + i, m:]
            for j in range(maps.shape[3]):
                middle = m1[j + 1]
                twice = 2 * middle
                gz, gy, gx = k1[j + 1] - n1[j + 1], m2[j + 1] - m0[j + 1], m1[j + 2] - m1[j]
                gz, gy, gx = wz * half * gz, wy * half * gy, wx * half * gx
                zz = wz * wz * (k1[j + 1] - twice + n1[j + 1])
                yy = wy * wy * (m2[j + 1] - twice + m0[j + 1])
                xx = wx * wx * (m1[j + 2] - twice + m1[j])
                maps[0, h, i, j] = middle
                maps[1, h, i, j] = middle - old[j]
                maps[2, h, i, j] = np.sqrt(gz * gz + gy * gy + gx * gx)
                maps[3, h, i, j] = zz + yy + xx
                hessian[0, h, i, j] = zz
                hessian[1, h, i, j] = wz * wy * four * (k2[j + 1] - k0[j + 1] - n2[j + 1] + n0[j + 1])
                hessian[2, h, i, j] = wz * wx * four * (k1[j + 2] - k1[j] - n1[j + 2] + n1[j])
                hessian[3, h, i, j] = yy
                hessian[4, h, i, j] = wy * wx * four * (m2[j + 2] - m2[j] - m0[j + 2] + m0[j])
                hessian[5, h, i, j] = xx


@numba.njit(cache=True, nogil=True)
def products_3d(s, wz, wy, wx, products):
    """Write the products of the first derivatives at all but the outermost samples."""
    half = np.float32(0.5)
    for h in range(products.shape[1]):
        for i in range(products.shape[2]):
            for j in range(products.shape[3]):
                gz = wz * half * (s[h + 2, i + 1, j + 1] - s[h, i + 1, j + 1])
                gy = wy * half * (s[h + 1, i + 2, j + 1] - s[h + 1, i, j + 1])
                gx = wx * half * (s[h + 1, i + 1, j + 2] - s[h + 1, i + 1, j])
                products[0, h, i, j] = gz * gz
                products[1, h, i, j] = gz * gy
                products[2, h, i, j] = gz * gx
                products[3, h, i, j] = gy * gy
                products[4, h, i, j] = gy * gx
                products[5, h, i, j] = gx * gx


# Linear interpolation: the value at place i lies between samples at[i] and at[i] + 1, `part` of the way.


@numba.njit(cache=True, nogil=True)
def _mix(a, b, part, out):
    for j in range(out.size):
        out[j] = a[j] + part * (b[j] - a[j])


@numba.njit(cache=True, nogil=True)
def expand_2d(low, at_y, part_y, at_x, part_x, out):
    row = np.empty(low.shape[1], np.float32)
    for i in range(out.shape[0]):
        _mix(low[at_y[i]], low[at_y[i] + 1], part_y[i], row)
        line = out[i]
        for j in range(out.shape[1]):
            a = row[at_x[j]]
            line[j] = a + part_x[j] * (row[at_x[j] + 1] - a)


@numba.njit(cache=True, nogil=True)
def expand_3d(low, at_z, part_z, at_y, part_y, at_x, part_x, out):
    plane = np.empty(low.shape[1:], np.float32)
    for h in range(out.shape[0]):
        for i in range(plane.shape[0]):
            _mix(low[at_z[h], i], low[at_z[h] + 1, i], part_z[h], plane[i])
        expand_2d(plane, at_y, part_y, at_x, part_x, out[h])
