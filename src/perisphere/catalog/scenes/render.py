"""From a mesh, a camera and a light to pixels: visibility first, then one pass of shading over all pixels."""

from dataclasses import dataclass

import cv2
import numpy as np

from perisphere.catalog.scenes import noise
from perisphere.catalog.scenes.camera import Camera
from perisphere.catalog.scenes.geometry import BLOB, DOME, ROUND, Geometry
from perisphere.catalog.scenes.light import Light
from perisphere.catalog.scenes.materials import COLUMNS, FILLS, SHAPES
from perisphere.catalog.scenes.parts import PART_ID
from perisphere.catalog.scenes.raster import see, see_parallel

Array = np.ndarray


def _rgb(colour: tuple[float, float, float]) -> Array:
    return np.array(colour, np.float32)


def _dot(a: Array, b: Array) -> Array:
    """Scalar products of rows; einsum without BLAS sums the same way on any number of threads."""
    return np.einsum("ij,ij->i" if b.ndim == 2 else "ij,j->i", a, b)


@dataclass(frozen=True)
class Rendering:
    """A picture before the lens and the sensor.

    Attributes:
        radiance: float32 ``[r, r, 3]``, linear.
        parts: uint8 ``[r, r]``, position in :data:`perisphere.catalog.scenes.parts.PARTS`.
        depth: float32 ``[r, r]``, metres along the camera's axis, infinity for the sky.
        faces: int32 ``[r, r]``, face number, -1 for the sky.
    """

    radiance: Array
    parts: Array
    depth: Array
    faces: Array


@dataclass
class _Pixels:
    """What the shader knows of the n pixels that see a face; every array is float32 ``[n]`` or ``[n, 3]``."""

    point: Array
    view: Array  # unit, from the camera
    depth: Array
    normal: Array
    tangent: Array
    bitangent: Array
    u: Array
    v: Array
    across: Array  # from the left edge of the face
    foot: Array  # height above the foot of the face
    surfaces: Array  # the table of all surfaces
    row: Array  # which of them each pixel shows
    footprint: Array  # metres that a pixel covers
    leaf: Array  # bool

    def column(self, name: str) -> Array:
        return self.surfaces[:, COLUMNS[name]][self.row]


def render(geometry: Geometry, shadows: Geometry, camera: Camera, light: Light, resolution: int) -> Rendering:
    """Render ``geometry``; ``shadows`` is the same world with its leaves turned to the sun."""
    inverse, faces = see(geometry, camera, resolution)
    rays = _rays(camera, resolution)
    radiance = np.empty((resolution, resolution, 3), np.float32)
    parts = np.full((resolution, resolution), PART_ID["sky"], np.uint8)
    seen = faces >= 0
    radiance[~seen] = sky(rays[~seen], light)
    depth = np.full((resolution, resolution), np.inf, np.float32)
    depth[seen] = 1 / inverse[seen]
    if seen.any():
        pixels = _locate(geometry, faces[seen], camera, rays[seen], depth[seen], resolution)
        lit = _sunlit(pixels, shadows, light, resolution)
        crease = _occlusion(inverse)[seen]
        colour, part = _shade(pixels, light, lit, crease)
        radiance[seen] = _hazed(colour, pixels, light)
        parts[seen] = part
    return Rendering(radiance, parts, depth, faces)


def _rays(camera: Camera, resolution: int) -> Array:
    """Directions with a forward component of 1, float32 ``[r, r, 3]``."""
    steps = ((np.arange(resolution) + 0.5) / resolution - 0.5) / camera.focal
    right, down, forward = camera.axes
    rays = steps[None, :, None] * right + steps[:, None, None] * down + forward
    return rays.astype(np.float32)


def sky(rays: Array, light: Light) -> Array:
    """The colour of the sky along rays ``[n, 3]``: gradient, glow, clouds, stars and far hills."""
    unit = rays / np.sqrt(_dot(rays, rays))[:, None]
    height = unit[:, 2]
    rise = np.clip(height, 0, 1)[:, None]
    horizon, zenith = _rgb(light.horizon), _rgb(light.zenith)
    colour = horizon + (zenith - horizon) * (1 - np.exp(-rise * 4.2))
    glow = np.clip(_dot(unit, light.towards.astype(np.float32)), 0, 1)[:, None]
    colour += _rgb(light.sun) * (0.22 * glow**24 + 0.10 * glow**5)
    colour = _clouded(colour, unit, light)
    if light.name == "night":
        stars = noise.white(np.floor(unit[:, 0] * 260), np.floor(unit[:, 2] * 260 + unit[:, 1] * 97))
        colour += ((stars > 0.996) & (height > 0.05))[:, None] * np.float32(0.35)
    return _hills(colour, unit, light).astype(np.float32)


def _clouded(colour: Array, unit: Array, light: Light) -> Array:
    up = np.maximum(unit[:, 2], 0.0) + 0.16
    x, y = unit[:, 0] / up + np.float32(light.drift), unit[:, 1] / up
    puff = noise.smooth(x, y * 1.4, 26.0) + 0.35 * noise.smooth(x, y, 9.0)
    cover = np.clip((puff - (1.15 - 2.1 * light.clouds)) * 0.75, 0, 1)
    cover *= np.clip(unit[:, 2] * 7, 0, 1) * 0.92
    # The side away from the sun is darker: compare with the noise a step towards it.
    ahead = noise.smooth(x + light.towards[0] * 0.25, (y + light.towards[1] * 0.25) * 1.4, 26.0)
    relief = np.clip(0.86 + 0.22 * (puff - ahead), 0.55, 1.2)
    tone = _rgb(light.cloud) * relief[:, None]
    return colour + (tone - colour) * cover[:, None]


def _hills(colour: Array, unit: Array, light: Light) -> Array:
    turn = np.arctan2(unit[:, 1], unit[:, 0])
    around = np.sin(turn) * 3 + light.drift, np.cos(turn) * 3
    for lift, scale, tone in ((0.045, 9.0, 0.62), (0.022, 5.0, 0.42)):
        ridge = lift * (1 + 0.45 * noise.smooth(around[0], around[1], scale))
        green = _rgb((0.20, 0.25, 0.22)) * (_rgb(light.zenith) + _rgb(light.sun) * 0.3)
        shade = _rgb(light.horizon) * tone + green * (1 - tone)
        edge = np.clip((ridge - unit[:, 2]) * 400, 0, 1)[:, None]
        colour = colour + (shade - colour) * edge
    return colour


def _locate(
    geometry: Geometry, faces: Array, camera: Camera, rays: Array, depth: Array, resolution: int
) -> _Pixels:
    """Where each pixel's point lies on its surface."""
    point = (camera.position.astype(np.float32) + rays * depth[:, None]).astype(np.float32)
    length = np.sqrt(_dot(rays, rays))
    view = rays / length[:, None]
    frames = geometry.frames.astype(np.float32)[faces]
    origin, tangent, bitangent, normal = frames[:, 0], frames[:, 1], frames[:, 2], frames[:, 3]
    away = point - origin
    foot = _dot(away, bitangent)
    # On planes the pattern hangs on the world, so that stones go on from one face to the next.
    u, v = _dot(point, tangent), _dot(point, bitangent)
    kind = geometry.kind[faces]
    pixels = _Pixels(
        point=point,
        view=view,
        depth=depth,
        normal=normal.copy(),
        tangent=tangent.copy(),
        bitangent=bitangent.copy(),
        u=u,
        v=v,
        foot=foot,
        across=_dot(away, tangent),
        surfaces=geometry.surfaces,
        row=geometry.surface[faces],
        footprint=depth / np.float32(camera.focal * resolution),
        leaf=kind == BLOB,
    )
    _bend(pixels, geometry, faces, kind)
    return pixels


def _bend(pixels: _Pixels, geometry: Geometry, faces: Array, kind: Array) -> None:
    """Round off columns, domes and leaves: smooth normals, and u along the circumference."""
    centre = geometry.centre.astype(np.float32)[faces]
    radii = geometry.radii.astype(np.float32)[faces]
    for which in (ROUND, DOME, BLOB):
        at = np.flatnonzero(kind == which)
        if not len(at):
            continue
        away = pixels.point[at] - centre[at]
        if which == BLOB:
            flat = away / radii[at, :1]
            bulge = np.sqrt(np.clip(1 - _dot(flat, flat), 0.05, 1))
            normal = flat + pixels.normal[at] * bulge[:, None]
            pixels.normal[at] = normal / np.sqrt(_dot(normal, normal))[:, None]
            continue
        turn = np.arctan2(away[:, 1], away[:, 0])
        c, s, zero = np.cos(turn), np.sin(turn), np.zeros(len(at), np.float32)
        if which == ROUND:
            tilt = radii[at, 1]
            scale = 1 / np.sqrt(1 + tilt * tilt)
            normal = np.stack([c * scale, s * scale, tilt * scale], 1)
            v = away[:, 2]
        else:
            normal = np.stack(
                [away[:, 0] / radii[at, 0], away[:, 1] / radii[at, 0], away[:, 2] / radii[at, 1]], 1
            ) / np.stack([radii[at, 0], radii[at, 0], radii[at, 1]], 1)
            normal /= np.sqrt(_dot(normal, normal))[:, None] + 1e-9
            v = radii[at, 0] * np.arctan2(
                away[:, 2] / radii[at, 1], np.hypot(away[:, 0], away[:, 1]) / radii[at, 0]
            )
        tangent = np.stack([-s, c, zero], 1)
        pixels.normal[at] = normal
        pixels.tangent[at] = tangent
        pixels.bitangent[at] = np.cross(normal, tangent)
        pixels.u[at] = np.mod(turn + np.pi / 2 + np.pi, 2 * np.pi) * radii[at, 0]
        pixels.v[at] = v
        pixels.across[at] = pixels.u[at]
        pixels.foot[at] = v


def _sunlit(pixels: _Pixels, shadows: Geometry, light: Light, resolution: int) -> Array:
    """1 where the sun reaches, 0 in the shadow, between at its edge."""
    forward = -light.towards
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward])
    solid = shadows.corners[shadows.corners[:, 2] > 0.3]
    middle = (solid.min(0) + solid.max(0)) / 2 if len(solid) else np.zeros(3)
    local = ((solid - middle)[:, None, :] * axes[None, :2]).sum(2)
    reach = float(np.abs(local).max()) * 1.03 + 0.5 if len(solid) else 1.0
    nearness = see_parallel(shadows, axes, middle, reach, resolution)
    step = 2 * reach / resolution
    bias = np.where(pixels.leaf, 1.2, 0.5 * step).astype(np.float32)
    start = pixels.point + pixels.normal * (bias * 1.2)[:, None] - middle.astype(np.float32)
    x, y, near = (_dot(start, axis.astype(np.float32)) for axis in axes)
    x, y, near = x / step + resolution / 2 - 0.5, y / step + resolution / 2 - 0.5, -near
    lit = np.zeros(len(x), np.float32)
    for dx, dy in ((-0.6, -0.25), (0.25, -0.6), (0.6, 0.25), (-0.25, 0.6)):
        i = np.clip(np.round(x + dx), 0, resolution - 1).astype(np.int64)
        j = np.clip(np.round(y + dy), 0, resolution - 1).astype(np.int64)
        lit += nearness[j, i] <= near + bias
    outside = (x < 0) | (y < 0) | (x >= resolution) | (y >= resolution)
    return np.where(outside, 1, lit / 4).astype(np.float32)


def _occlusion(inverse: Array) -> Array:
    """Darkening where neighbours stand out before a pixel; float32 ``[r, r]``, 0 to 1."""
    depth = 1 / np.maximum(inverse, 1e-4)
    dark = np.zeros_like(depth)
    size = len(depth)
    for share in (1 / 90, 1 / 28):
        shift = max(1, round(size * share))
        wide = cv2.copyMakeBorder(depth, shift, shift, shift, shift, cv2.BORDER_REPLICATE)
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            other, opposite = (
                wide[(1 + s * dy) * shift :, (1 + s * dx) * shift :][:size, :size] for s in (1, -1)
            )
            # A flat wall seen aslant is no crease: compare with the mean of both sides.
            ahead = depth - 0.5 * (other + np.minimum(opposite, depth * 1.2))
            dark += np.clip(ahead / (depth * 0.02 + 0.05), 0, 1) * (ahead < depth * 0.12)
    return np.clip(1 - 0.085 * cv2.blur(dark, (3, 3)), 0.4, 1)


def _shade(p: _Pixels, light: Light, lit: Array, crease: Array) -> tuple[Array, Array]:
    """Radiance ``[n, 3]`` and part ``[n]`` of the pixels."""
    albedo = _masonry(p)
    part = p.column("part").astype(np.uint8)
    shadow = np.ones(len(part), np.float32)
    glow = np.zeros_like(albedo)
    _ripple(p, light, albedo, glow, part)
    openings = np.flatnonzero(p.column("shape") > 0)
    if len(openings):
        _cut(p, light, openings, albedo, part, shadow, glow)
    facing = _dot(p.normal, light.towards.astype(np.float32))
    facing = np.where(p.leaf, 0.35 + 0.65 * facing, facing)
    sun = np.clip(facing, 0, 1) * lit * shadow
    up = 0.5 + 0.5 * p.normal[:, 2]
    zenith, horizon = _rgb(light.zenith), _rgb(light.horizon)
    # Half of the light from above comes from near the horizon.
    above = 0.46 * zenith + 0.17 * horizon
    ground = np.clip(1 - p.point[:, 2] / 14, 0, 1)
    soft = (
        above * (0.35 + 0.65 * up)[:, None] + _rgb(light.bounce) * ((1 - up) * (0.5 + 0.5 * ground))[:, None]
    )
    soft = soft * (crease * (0.45 + 0.55 * shadow) * _contact(p))[:, None]
    total = _rgb(light.sun) * sun[:, None] + soft
    if light.flood[0] > 0:
        wall = np.clip(-p.normal[:, 1] * 0.6 + 0.4, 0, 1) * (1 - np.abs(p.normal[:, 2]) * 0.8)
        fall = np.exp(-np.maximum(p.point[:, 2], 0) / 15) * (p.point[:, 2] > 0.05)
        total = total + _rgb(light.flood) * (wall * fall * crease * (0.4 + 0.6 * shadow))[:, None]
    for lamp in light.lamps:
        total = total + _lamplight(p, lamp) * (crease * (0.3 + 0.7 * shadow))[:, None]
    return albedo * total + glow, part


def _lamplight(p: _Pixels, lamp: Array) -> Array:
    """Light of a lamp ``[7]`` (see :class:`Light`) on surfaces, which wraps round them a little."""
    away = lamp[:3] - p.point
    square = _dot(away, away)
    facing = np.clip(0.2 + 0.8 * _dot(p.normal, away) / np.sqrt(square + 1e-6), 0, 1)
    return lamp[3:6] * (facing / (1 + square / lamp[6] ** 2))[:, None]


def _ripple(p: _Pixels, light: Light, albedo: Array, glow: Array, part: Array) -> None:
    """Water mirrors the sky in small waves, more so at a shallow angle."""
    at = np.flatnonzero(part == PART_ID["water"])
    if not len(at):
        return
    x, y = p.point[at, 0], p.point[at, 1]
    calm = np.clip(0.09 * p.footprint[at] ** -0.3, 0.02, 0.12)
    slope = np.stack([noise.smooth(x, y * 2, 22.0) * calm, noise.smooth(x + 50, y * 2, 22.0) * calm], 1)
    mirrored = p.view[at] * _rgb((1, 1, -1)) + np.column_stack([slope, np.zeros(len(at), np.float32)])
    mirrored[:, 2] = np.maximum(mirrored[:, 2], 0.06)
    share = 0.04 + 0.96 * (1 - np.clip(-p.view[at, 2], 0, 1)) ** 4
    glow[at] = sky(mirrored, light) * (0.85 * share)[:, None]
    albedo[at] *= (1 - share)[:, None]


def _contact(p: _Pixels) -> Array:
    """Walls are darker where they meet the ground."""
    return (1 - 0.38 * np.exp(-np.maximum(p.point[:, 2], 0) / 1.1) * (np.abs(p.normal[:, 2]) < 0.6)).astype(
        np.float32
    )


def _masonry(p: _Pixels) -> Array:
    """Colour of stones, tiles, plaster and leaves, float32 ``[n, 3]``."""
    colour = p.surfaces[:, COLUMNS["red"] : COLUMNS["red"] + 3][p.row]
    tone = np.ones(len(colour), np.float32)
    course, block = np.maximum(p.column("course"), 1e-3), np.maximum(p.column("block"), 1e-3)
    laid = p.column("course") > 0
    row = np.floor(p.v / course)
    shifted = p.u / block + 0.5 * np.mod(row, 2) + 0.2 * noise.white(row, row * 0)
    stone = np.floor(shifted)
    # Patterns finer than a pixel fade into their mean instead of flickering.
    sharp = np.clip(1.6 - 2.2 * p.footprint / course, 0, 1) * laid
    tone += p.column("variety") * 2 * (noise.white(stone, row) - 0.5) * sharp
    edge_v = np.abs(p.v / course - row - 0.5) * 2
    edge_u = np.abs(shifted - stone - 0.5) * 2
    width = np.clip(p.footprint / course * 1.3, 0.07, 1)
    joint = np.clip((edge_v - 1 + width) / width, 0, 1)
    width_u = np.clip(p.footprint / block * 1.3, 0.045, 1)
    joint = np.maximum(joint, np.clip((edge_u - 1 + width_u) / width_u, 0, 1))
    tone *= 1 - p.column("joint") * joint * sharp
    tone *= 1 - p.column("lap") * (1 - (p.v / course - row)) * sharp
    tone *= 1 + p.column("bands") * (np.mod(row, 2) - 0.5) * np.clip(sharp, 0.3, 1) * laid
    tone *= 1 + 0.30 * p.column("grain") * noise.smooth(p.u, p.v, 6.0)
    stain = noise.smooth(p.u * 1.0, p.v * 0.16, 14.0) + 0.8 * noise.smooth(p.u + 31, p.v, 60.0)
    tone *= 1 + 0.22 * p.column("weather") * np.clip(stain, -2, 1.2)
    flutes = p.column("flutes")
    wave = np.cos(p.u * flutes)
    tone *= np.where(flutes > 0, 1 + 0.22 * wave * np.clip(2 - flutes * p.footprint, 0, 1), 1)
    leaves = np.flatnonzero(p.leaf)
    if len(leaves):
        x, y = p.u[leaves], p.v[leaves]
        tone[leaves] *= 1 + 0.30 * noise.smooth(x, y, 7.0) + 0.34 * noise.smooth(x + 9, y, 1.6)
    colour *= np.clip(tone, 0.08, 1.8)[:, None]
    return colour


def inside(shape: Array, x: Array, y: Array, width: Array, height: Array) -> Array:
    """Metres that (x, y) lies inside an opening, negative outside; x from its middle, y from its sill."""
    half = width / 2
    pointed, circle = shape == SHAPES.index("pointed"), shape == SHAPES.index("circle")
    rise = np.where(pointed, 0.866 * width, np.where(shape == SHAPES.index("round"), half, 0))
    spring = np.where(circle, half, np.maximum(height - rise, 0))
    side = np.minimum(half - np.abs(x), y)
    centre, radius = np.where(pointed, half, 0), np.where(pointed, width, half)
    arch = radius - np.hypot(np.abs(x) + centre, y - spring)
    rect = shape == SHAPES.index("rect")
    upper = np.where(rect, np.minimum(half - np.abs(x), height - y), arch)
    return np.where((y > spring) & ~rect | circle, arch, np.where(rect, np.minimum(side, upper), side))


def cell(table: Array, u: Array, v: Array) -> tuple[Array, Array, Array, Array]:
    """Place in an opening's cell: x from its middle, y from its sill, and the cell's column and row."""
    col = {name: table[:, COLUMNS[name]] for name in ("columns", "rows", "left", "pitch", "sill", "storey")}
    i = np.clip(np.floor((u - col["left"]) / col["pitch"]), 0, col["columns"] - 1)
    j = np.clip(np.floor((v - col["sill"]) / col["storey"] + 0.08), 0, col["rows"] - 1)
    x = u - col["left"] - (i + 0.5) * col["pitch"]
    return x, v - col["sill"] - j * col["storey"], i, j


def _cut(p: _Pixels, light: Light, at: Array, albedo: Array, part: Array, shadow: Array, glow: Array) -> None:
    """Recess the openings: jambs and back by parallax, their shadow, tracery, lamps behind the glass."""
    table = p.surfaces[p.row[at]]
    shape, width, height = (table[:, COLUMNS[name]] for name in ("shape", "width", "height"))
    depth, frame = table[:, COLUMNS["depth"]], table[:, COLUMNS["frame"]]
    x, y, i, j = cell(table, p.across[at], p.foot[at])
    edge = inside(shape, x, y, width, height)
    near = np.maximum(p.footprint[at], 1e-4)
    moulding = (edge <= 0) & (edge > -frame)
    ridge = 1 + 0.20 * np.sin(edge / np.maximum(frame, 1e-3) * 3 * np.pi) * np.clip(frame / near / 6, 0, 1)
    albedo[at] = np.where(moulding[:, None], np.minimum(albedo[at] * 1.13, 0.95) * ridge[:, None], albedo[at])
    part[at] = np.where(edge > -frame, table[:, COLUMNS["opening_part"]], part[at]).astype(np.uint8)
    back, jamb, sun = _recess(p, light, at, (shape, x, y, width, height, depth), edge)
    hole = edge > 0
    fill = _fillings(table, back[0], back[1], near, i, j)
    stone = albedo[at] * 0.72
    inner = np.where(jamb[:, None], stone, fill)
    albedo[at] = np.where(hole[:, None], inner, albedo[at])
    shade = np.where(jamb, 0.62, np.clip(0.30 + 0.7 * sun, 0, 1))
    shadow[at] = np.where(hole, shade, 1)
    lamp = _lamps(table, light, i, j, hole & ~jamb, fill, p.point[at])
    glow[at] += lamp
    if light.panes[0] > 0:
        shining = hole & ~jamb & np.isin(table[:, COLUMNS["fill"]], _BACKLIT)
        glow[at] += np.where(shining[:, None], fill * _rgb(light.panes), 0)


def _recess(
    p: _Pixels, light: Light, at: Array, opening: tuple[Array, ...], edge: Array
) -> tuple[tuple[Array, Array], Array, Array]:
    """Follow the view into an opening: where it ends, if a jamb is in the way, if sun gets there."""
    shape, x, y, width, height, depth = opening
    view = p.view[at]
    axes = p.tangent[at], p.bitangent[at], p.normal[at]
    du, dv, dn = (_dot(view, axis) for axis in axes)
    scale = depth / np.maximum(-dn, 0.12)
    bx, by = x + du * scale, y + dv * scale
    jamb = (inside(shape, bx, by, width, height) <= 0) & (edge > 0)
    sun = light.towards.astype(np.float32)
    lu, lv, ln = (_dot(axis, sun) for axis in axes)
    reach = depth / np.maximum(ln, 0.12)
    open_to_sun = inside(shape, bx + lu * reach, by + lv * reach, width, height)
    soft = np.clip(open_to_sun / np.maximum(0.15 * width, 1e-3) + 0.5, 0, 1) * (ln > 0)
    return (bx, by), jamb, soft


def _fillings(table: Array, x: Array, y: Array, near: Array, i: Array, j: Array) -> Array:
    """Colour of glass, doors, dials and darkness, float32 ``[n, 3]``."""
    fill, width, height, bars = (table[:, COLUMNS[name]] for name in ("fill", "width", "height", "bars"))
    colour = np.full((len(x), 3), 0.022, np.float32)
    glass = fill == FILLS.index("glass")
    tint = 0.05 + 0.07 * noise.white(i, j + 3)
    niche = fill == FILLS.index("niche")
    colour[niche] = 0.5 * table[niche, COLUMNS["red"] : COLUMNS["red"] + 3]
    colour[glass] = (_rgb((0.75, 0.95, 1.2)) * tint[:, None])[glass]
    stained = (fill == FILLS.index("stained")) | (fill == FILLS.index("rose"))
    hue = noise.white(np.floor(x / 0.35), np.floor(y / 0.35))
    pane = np.stack([0.03 + 0.10 * (hue > 0.66), 0.03 + 0.05 * (hue > 0.4), 0.05 + 0.12 * (hue < 0.4)], 1)
    colour = np.where(stained[:, None], pane, colour)
    wood = fill == FILLS.index("wood")
    plank = 0.75 + 0.4 * noise.white(np.floor(x / 0.28), x * 0)
    timber = _rgb((0.115, 0.058, 0.03)) * plank[:, None]
    colour = np.where(wood[:, None], timber, colour)
    lattice = _tracery(x, y, width, height, bars, fill, near)
    stone = table[:, COLUMNS["red"] : COLUMNS["red"] + 3] * 0.9
    stone = np.where(wood[:, None], timber * 0.4, np.where(glass[:, None], np.float32(0.34), stone))
    colour = colour + (stone - colour) * lattice[:, None]
    clock = fill == FILLS.index("clock")
    colour = np.where(clock[:, None], _dial(x, y - width / 2, width / 2), colour).astype(np.float32)
    for kind, draw in ((_BACKLIT, _panes), ([FILLS.index("painting")], _painting)):
        at = np.flatnonzero(np.isin(fill, kind))
        if len(at):
            colour[at] = draw(table[at], x[at], y[at], near[at], i[at], j[at])
    return colour


_BACKLIT = [FILLS.index("lancet"), FILLS.index("wheel")]
_GLASS = np.array(
    [
        (0.75, 0.05, 0.04),
        (0.05, 0.14, 0.80),
        (0.04, 0.36, 0.72),
        (0.85, 0.52, 0.06),
        (0.06, 0.42, 0.16),
        (0.42, 0.08, 0.46),
        (0.85, 0.80, 0.62),
        (0.10, 0.20, 0.85),
    ],
    np.float32,
)


def _panes(table: Array, x: Array, y: Array, near: Array, i: Array, j: Array) -> Array:
    """Stained glass with the day behind it: medallions and panes in lead, float32 ``[n, 3]``."""
    width, bars, fill = (table[:, COLUMNS[name]] for name in ("width", "bars", "fill"))
    # Each building has its own glass.
    own = np.floor(table[:, COLUMNS["red"]] * 997 + table[:, COLUMNS["green"]] * 313)
    wheel = fill == FILLS.index("wheel")
    pitch = width / np.maximum(bars, 1)
    r, turn = np.hypot(x, y - width / 2), np.arctan2(y - width / 2, x)
    petal = np.floor(turn / (2 * np.pi) * np.maximum(bars, 3) + 0.5)
    light = np.floor((x + width / 2) / pitch)
    across = np.where(wheel, petal, np.floor((x + width / 2) / (pitch / 5)))
    along = np.where(wheel, np.floor(r / (width * 0.085)), np.floor(y / (pitch / 4)))
    pick = np.floor(noise.white(across + own, along + 7 * own) * len(_GLASS)).astype(np.int64)
    # A medallion in every light, one above the other: a ground, a ring, and a figure in it.
    high = pitch * 1.15
    mx, my = (x + width / 2) / pitch - light - 0.5, (np.mod(y, high) / high - 0.5) * 1.15
    ring = np.hypot(mx, my)
    level = np.floor(y / high)
    hues = (np.floor(noise.white(light + own + k, level + 3 * i + own) * len(_GLASS)) for k in (0, 5))
    ground, figure = (hue.astype(np.int64) for hue in hues)
    body = (np.abs(mx) < 0.06 + 0.12 * (0.2 - my)) & (my < 0.12) & (ring < 0.34)
    head = (np.hypot(mx, my - 0.17) < 0.07) & (ring < 0.34)
    at = np.where(wheel | (ring > 0.40), pick, np.where(body, figure, np.where(head, 6, ground))) % len(
        _GLASS
    )
    colour = _GLASS[at] * (0.6 + 0.6 * noise.white(np.floor(x / 0.11), np.floor(y / 0.11)))[:, None]
    rim = np.clip((0.035 - np.abs(ring - 0.38)) * 60, 0, 1) * ~wheel
    colour = colour * (1 - 0.85 * rim)[:, None]
    bars_of = np.where(wheel, FILLS.index("rose"), FILLS.index("stained"))
    stone = _tracery(x, y, width, table[:, COLUMNS["height"]], bars, bars_of, near)
    return (colour * (1 - stone)[:, None] + 0.02 * stone[:, None]).astype(np.float32)


def _painting(table: Array, x: Array, y: Array, near: Array, i: Array, j: Array) -> Array:
    """An old panel: gold ground, a standing figure in a coloured coat, a darker foot, float32 ``[n, 3]``."""
    width, height = (table[:, COLUMNS[name]] for name in ("width", "height"))
    own = np.floor(table[:, COLUMNS["red"]] * 997) + 5 * i + 11 * j
    u, v = x / width, y / height
    gold = _rgb((0.66, 0.44, 0.11)) * (0.8 + 0.25 * noise.smooth(x, y, 1.2))[:, None]
    coat = _GLASS[np.floor(noise.white(own, own + 3) * len(_GLASS)).astype(np.int64) % len(_GLASS)] * 0.7
    cloak = _GLASS[np.floor(noise.white(own + 5, own) * len(_GLASS)).astype(np.int64) % len(_GLASS)] * 0.45
    body = (np.abs(u) < 0.10 + 0.20 * (0.72 - v)) & (v < 0.72)
    fold = (np.abs(u) < 0.04 + 0.10 * (0.72 - v)) & (v < 0.72)
    head = np.hypot(u * width, (v - 0.77) * height) < 0.085 * width
    halo = np.hypot(u * width, (v - 0.77) * height) < 0.17 * width
    colour = np.where((v < 0.16)[:, None], _rgb((0.12, 0.14, 0.06)), gold)
    colour = np.where(halo[:, None], _rgb((0.85, 0.66, 0.22)), colour)
    colour = np.where(body[:, None], cloak, colour)
    colour = np.where(fold[:, None], coat, colour)
    return np.where(head[:, None], _rgb((0.55, 0.36, 0.25)), colour).astype(np.float32)


def _tracery(x: Array, y: Array, width: Array, height: Array, bars: Array, fill: Array, near: Array) -> Array:
    """Mullions and transoms, or the spokes and rings of a rose: share of the pixel they cover."""
    thick = 0.035 * width + 0.02
    pitch = width / np.maximum(bars, 1)
    across = np.abs(np.mod(x + width / 2 + pitch / 2, pitch) - pitch / 2)
    across = np.where(np.abs(x) > width / 2 - pitch / 2, 1e3, across)
    rung = np.maximum(pitch * 1.7, 0.4)
    along = np.abs(np.mod(y, rung) - rung / 2)
    rect = fill != FILLS.index("stained")
    line = np.minimum(across, np.where(rect, along, 1e3))
    r, turn = np.hypot(x, y - width / 2), np.arctan2(y - width / 2, x)
    step = 2 * np.pi / np.maximum(bars, 3)
    spoke = np.abs(np.mod(turn, step) - step / 2) * r
    ring = np.minimum(np.abs(r - width * 0.14), np.abs(r - width * 0.34))
    rose = np.minimum(np.where(r < width * 0.14, 1e3, spoke), ring)
    line = np.where(fill == FILLS.index("rose"), rose, line)
    cover = np.clip((thick - line) / near + 0.5, 0, 1) * np.clip(2 * thick / near, 0, 1)
    return np.where(
        (fill == FILLS.index("void")) | (fill == FILLS.index("niche")) | (bars < 1), 0, cover
    ).astype(np.float32)


def _dial(x: Array, y: Array, radius: Array) -> Array:
    """A clock: pale face, dark hours, two hands."""
    r, turn = np.hypot(x, y) / radius, np.arctan2(x, y)
    hours = (np.abs(np.mod(turn * 6 / np.pi + 0.5, 1) - 0.5) < 0.16) & (r > 0.72) & (r < 0.92)
    hands = ((np.abs(x) < 0.06 * radius) & (y > 0) & (r < 0.75)) | (
        (np.abs(y) < 0.08 * radius) & (x > 0) & (r < 0.5)
    )
    dark = hours | hands | (r > 0.95)
    return np.where(dark[:, None], _rgb((0.05, 0.045, 0.04)), _rgb((0.78, 0.75, 0.66)))


def _lamps(table: Array, light: Light, i: Array, j: Array, open_: Array, fill: Array, point: Array) -> Array:
    """Windows lit from within."""
    kinds = table[:, COLUMNS["fill"]]
    place = noise.white(i + np.floor(point[:, 1] / 40), j * 5 + 11)
    on = (
        open_
        & (place < light.lit)
        & ~np.isin(kinds, [FILLS.index(name) for name in ("wood", "void", "niche")])
    )
    bright = _rgb((1.15, 0.68, 0.26)) * (0.25 + np.minimum(fill.mean(1) * 9, 1))[:, None]
    return np.where(on[:, None], bright, 0).astype(np.float32)


def _hazed(colour: Array, p: _Pixels, light: Light) -> Array:
    clear = np.exp(-light.haze * p.depth)[:, None]
    return (colour * clear + _rgb(light.horizon) * (1 - clear)).astype(np.float32)
