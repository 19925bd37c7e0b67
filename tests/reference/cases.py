"""The plans of compositions.json. `target` picks epsilon near that delta; `epsilon` fixes it."""


def sampled(sigma, rate, count=1, label=None):
    e = {"mechanism": {"type": "gaussian", "noise_multiplier": sigma},
         "sampling": {"type": "poisson", "rate": rate}, "count": count}
    return dict(e, label=label) if label else e


def plain(sigma, count=1):
    return {"mechanism": {"type": "gaussian", "noise_multiplier": sigma}, "count": count}


def laplace(b, count=1, rate=None):
    e = {"mechanism": {"type": "laplace", "noise_multiplier": b}, "count": count}
    return dict(e, sampling={"type": "poisson", "rate": rate}) if rate else e


def mechanism(count=1, **fields):
    return {"mechanism": fields, "count": count}


def case(name, events, method="inversion", adjacency="add-or-remove-one", **at):
    return dict({"id": name, "plan": {"adjacency": adjacency, "events": events}, "method": method}, **at)


def homogeneous():
    rows = [  # sigma, rate, steps, delta
        (1.0, 0.01, 1000, 1e-5), (1.0, 0.01, 10000, 1e-5), (1.0, 0.01, 100000, 1e-5), (1.0, 0.01, 100000, 1e-10),
        (2.0, 0.001, 1000000, 1e-12), (2.0, 0.001, 1000000, 1e-8), (50.0, 0.001, 1000000, 1e-5),
        (1.0, 0.01, 1000, 1e-12), (1.0, 0.004, 20000, 1e-5), (100.0, 0.1, 10000, 1e-30), (100.0, 0.5, 1000000, 1e-20),
        (1.0, 1e-4, 10000000, 1e-5), (1.0, 1e-5, 1000000000, 1e-5), (2.0, 0.01, 1000000000, 1e-6),
        (100.0, 1e-3, 1000000000, 1e-9), (1.3, 0.004, 3750, 1e-5), (4.0, 0.01, 10000, 1e-5), (0.7, 0.02, 5000, 1e-6),
        (0.8, 0.125, 1000, 1e-6), (0.6, 0.2, 500, 1e-5), (3.0, 0.99, 50, 1e-6), (1.0, 0.9, 20, 1e-8),
        (0.5, 0.5, 30, 1e-10), (2.0, 0.3, 200, 0.3), (5.0, 0.05, 5000, 0.1), (1.5, 0.04, 2250, 1e-5),
        (5.0, 0.2, 3, 1e-6), (8.0, 0.05, 10, 1e-9), (0.3, 0.3, 100, 1e-8), (1.0, 0.1, 100, 1e-30),
        (1.0, 0.2, 500, 1e-5), (3.0, 0.08192, 2500, 1e-5)]
    return [case("sampled_s%g_q%g_k%d_d%g" % r, [sampled(*r[:3])], target=r[3]) for r in rows]


def traps():
    """Epsilons that a peer printed as an upper bound: the true delta there exceeds the delta it was asked for."""
    rows = [("google_s1_q1e-3_k1e3_d1e-10", 1.0, 0.001, 1000, 0.54466),
            ("google_s1_q1e-2_k1e5_d1e-10", 1.0, 0.01, 100000, 34.5909),
            ("google_s2_q1e-3_k1e6_d1e-12", 2.0, 0.001, 1000000, 3.4365),
            ("prv_s1_q1e-2_k1e3_d1e-12", 1.0, 0.01, 1000, 3.91295)]
    return [case("trap_" + n, [sampled(s, q, k)], epsilon=e) for n, s, q, k, e in rows]


def directions():
    out = []
    for adj in ("add-one", "remove-one"):
        out += [case("%s_s0.8_q0.3_k40" % adj, [sampled(0.8, 0.3, 40)], adjacency=adj, target=1e-6),
                case("%s_s2_q0.6_k100" % adj, [sampled(2.0, 0.6, 100)], adjacency=adj, target=1e-12),
                case("%s_s1.2_q0.002_k50000" % adj, [sampled(1.2, 0.002, 50000)], adjacency=adj, target=1e-7)]
    out += [case("replace_s1_q0.01_k10000", [sampled(1.0, 0.01, 10000)], adjacency="replace-one", target=1e-5),
            case("replace_s4_q0.01_k1000", [sampled(4.0, 0.01, 1000)], adjacency="replace-one", target=1e-5),
            case("replace_s2_q0.5_k60", [sampled(2.0, 0.5, 60)], adjacency="replace-one", target=1e-9),
            case("replace_s10_q0.9_k30_plus_gauss", [sampled(10.0, 0.9, 30), plain(30.0, 4)],
                 adjacency="replace-one", target=1e-6)]
    return out


def phases():
    many = [sampled(round(0.8 + 0.05 * i, 2), round(0.002 + 0.0005 * i, 4), 1000) for i in range(24)]
    return [
        case("two_phases", [sampled(1.1, 0.01, 2000), sampled(1.6, 0.02, 3000)], target=1e-6),
        case("three_phases", [sampled(0.9, 0.004, 5000), sampled(1.3, 0.05, 300), sampled(6.0, 0.5, 40)], target=1e-7),
        case("three_phases_d1e-15", [sampled(1.0, 0.02, 1000), sampled(2.0, 0.1, 400), plain(9.0, 3)], target=1e-15),
        case("twenty_four_phases", many, target=1e-5),
        case("warm_up_of_one_step", [sampled(0.9, 0.3), sampled(1.4, 0.03, 1500)], target=1e-6),
        case("gauss_plus_one_sampled", [plain(20.0, 1000), sampled(0.6, 0.1)], epsilon=6.0),
        case("gauss_plus_rare_hits", [plain(5.0, 10), sampled(0.5, 1e-5, 1000)], target=1e-8),
        case("gauss_plus_rare_hits_s0.3", [plain(4.0, 3), sampled(0.3, 1e-4, 100)], target=1e-6),
        case("gauss_plus_s0.4_q1e-7_k1000", [plain(3.0, 2), sampled(0.4, 1e-7, 1000)], target=1e-9),
    ]


def other_noise():
    return [
        case("laplace_plus_gauss", [laplace(2.0), plain(3.0)], target=1e-5),
        case("laplace10_x100_plus_gauss", [laplace(10.0, 100), plain(4.0, 2)], target=1e-6),
        case("laplace5_x20_plus_gauss_d1e-20", [laplace(5.0, 20), plain(2.0, 3)], target=1e-20),
        case("sampled_laplace_plus_gauss", [laplace(1.0, 200, 0.02), plain(5.0, 4)], target=1e-6),
        case("sampled_laplace_plus_sampled_gauss", [laplace(0.5, 20, 0.05), sampled(2.0, 0.3, 300)], target=1e-7),
        case("rr_plus_gauss", [mechanism(30, type="randomized_response", noise_parameter=0.6, num_buckets=4),
                               plain(2.5, 5)], target=1e-6),
        case("discrete_laplace_plus_gauss", [mechanism(25, type="discrete_laplace", noise_parameter=0.2,
                                                       sensitivity=3), plain(2.0, 2)], target=1e-8),
        case("mixture_of_gaussians_x200", [mechanism(200, type="mixture_of_gaussians", standard_deviation=2.0,
                                                     sensitivities=[0.0, 1.0, 2.0],
                                                     sampling_probabilities=[0.875, 0.09375, 0.03125])], target=1e-6),
        case("mixture_of_gaussians_remove_x40", [mechanism(40, type="mixture_of_gaussians", standard_deviation=1.5,
                                                           sensitivities=[0.5, 1.0],
                                                           sampling_probabilities=[0.75, 0.25])],
             adjacency="remove-one", target=1e-9),
        case("discrete_gaussian_plus_gauss", [mechanism(20, type="discrete_gaussian", sigma=1.5, sensitivity=1),
                                              plain(3.0, 2)], target=1e-7),
        case("custom_with_infinity_plus_gauss", [
            mechanism(10, type="custom", losses=[-0.2, 0.2, 0.5, 0.7],
                      probabilities=[0.5, 0.25, 0.125, 0.125 - 2.0 ** -20], infinity_mass=2.0 ** -20), plain(4.0)],
             adjacency="remove-one", epsilon=4.0),
    ]


def few_steps():
    return [
        case("epsilon_zero_s10_q0.3_k200", [sampled(10.0, 0.3, 200)], epsilon=0.0),
        case("one_s1_q1e-3_eps1.97", [sampled(1.0, 0.001)], "closed form", epsilon=1.97),
        case("one_s0.3_q1e-7_eps5", [sampled(0.3, 1e-7)], "closed form", epsilon=5.0),
        case("one_s100_q0.99_eps0.04", [sampled(100.0, 0.99)], "closed form", epsilon=0.04),
        case("one_s0.5_q0.1_eps20", [sampled(0.5, 0.1)], "closed form", epsilon=20.0),
        case("one_add_s2_q0.9_eps1", [sampled(2.0, 0.9)], "closed form", "add-one", epsilon=1.0),
        case("one_replace_s0.5_q0.5_eps2", [sampled(0.5, 0.5)], "closed form", "replace-one", epsilon=2.0),
        case("one_replace_s1_q1e-3_eps0.5", [sampled(1.0, 0.001)], "closed form", "replace-one", epsilon=0.5),
        case("one_sampled_laplace_b1_q0.1", [laplace(1.0, 1, 0.1)], "closed form", epsilon=0.05),
        case("one_sampled_laplace_b0.5_q0.3", [laplace(0.5, 1, 0.3)], "closed form", "add-one", epsilon=0.2),
        case("two_s1_q0.01_eps1", [sampled(1.0, 0.01, 2)], "two steps", epsilon=1.0),
        case("two_s0.3_q1e-4_eps8", [sampled(0.3, 1e-4, 2)], "two steps", epsilon=8.0),
        case("two_s0.5_q1e-7_eps3", [sampled(0.5, 1e-7, 2)], "two steps", epsilon=3.0),
        case("two_s1_q0.1_s2_q0.3_eps1", [sampled(1.0, 0.1), sampled(2.0, 0.3)], "two steps", epsilon=1.0),
        case("two_s1_q0.1_s2_q0.3_eps12", [sampled(1.0, 0.1), sampled(2.0, 0.3)], "two steps", epsilon=12.0),
        case("two_add_s0.8_q0.5_eps0.9", [sampled(0.8, 0.5, 2)], "two steps", "add-one", epsilon=0.9),
        case("two_s50_q0.02_eps0.0005", [sampled(50.0, 0.02, 2)], "two steps", epsilon=0.0005),
        case("pure_eps0.1_x100", [mechanism(100, type="epsilon_delta", epsilon=0.1, delta=0.0)], "binomial",
             epsilon=2.0),
        case("pure_eps0.05_x1000", [mechanism(1000, type="epsilon_delta", epsilon=0.05, delta=0.0)], "binomial",
             epsilon=12.0),
        case("approx_eps0.2_d1e-9_x64", [mechanism(64, type="epsilon_delta", epsilon=0.2, delta=1e-9)], "binomial",
             epsilon=6.0),
        case("approx_two_kinds", [mechanism(40, type="epsilon_delta", epsilon=0.1, delta=1e-8),
                                  mechanism(25, type="epsilon_delta", epsilon=0.3, delta=1e-10)], "binomial",
             epsilon=5.0),
        case("approx_three_kinds", [mechanism(12, type="epsilon_delta", epsilon=0.5, delta=0.0),
                                    mechanism(20, type="epsilon_delta", epsilon=0.125, delta=1e-7),
                                    mechanism(1, type="epsilon_delta", epsilon=1.0, delta=1e-6)], "binomial",
             epsilon=4.5),
    ]


def rare_hits():
    """Plans whose loss is a narrow bulk and rare large jumps; asked for fifteen digits only, to keep the time down."""
    rows = [(0.8, 1e-4, 5000, 1e-9), (1.0, 1e-3, 1000, 1e-15), (1.0, 1e-3, 1000, 1e-20), (0.5, 1e-3, 200, 1e-8),
            (0.7, 1e-3, 100, 1e-10), (0.6, 1e-4, 3000, 1e-9)]
    small = [(0.6, 1e-5, 20000, 1e-7), (1.0, 1e-6, 100000, 1e-8), (0.5, 1e-7, 1000000, 1e-8), (0.4, 1e-6, 1000, 1e-6)]
    return [case("rare_s%g_q%g_k%d_d%g" % r, [sampled(*r[:3])], target=r[3], nats=36.0) for r in rows] + [
        case("rare_add_s%g_q%g_k%d_d%g" % r, [sampled(*r[:3])], adjacency="add-one", target=r[3]) for r in small]


CASES = few_steps() + traps() + other_noise() + directions() + phases() + homogeneous() + rare_hits()
