//! Every sampler against the schedulers of diffusers, state by state. `UPWEAVE_GOLDENS` names another folder of golden files;
//! `tests/parity/samplers.py` writes them.

use candle_core::{Device, safetensors::load_buffer};
use safetensors::SafeTensors;
use serde_json::Value;

use super::*;

/// Largest error of a state, relative to its largest value.
const MOST: f32 = 1e-4;

struct Golden {
    picture: Vec<f32>,
    noise: Vec<f32>,
    drawn: Vec<Vec<f32>>,
    runs: Vec<Run>,
}

/// A way from noise to a picture by diffusers.
struct Run {
    case: Value,
    times: Vec<f32>,
    sigmas: Vec<f32>,
    states: Vec<Vec<f32>>,
}

fn golden() -> Golden {
    let file = crate::testing::golden!("samplers.safetensors");
    let (_, metadata) = SafeTensors::read_metadata(&file).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["cases"]).unwrap();
    let tensors = load_buffer(&file, &Device::Cpu).unwrap();
    let values = |name: &str| tensors[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let picture = values("picture");
    let rows = |name: &str| values(name).chunks(picture.len()).map(<[f32]>::to_vec).collect::<Vec<_>>();
    let run = |(i, case)| Run {
        case,
        times: values(&format!("{i}.times")),
        sigmas: values(&format!("{i}.sigmas")),
        states: rows(&format!("{i}.states")),
    };
    Golden {
        noise: values("noise"),
        drawn: rows("drawn"),
        runs: cases.into_iter().enumerate().map(run).collect(),
        picture,
    }
}

/// The stand-in for a network in `samplers.py`.
fn network(x: &[f32], time: f32) -> Vec<f32> {
    let wave = 0.2 * (f64::from(time) / 100.0).sin() as f32;
    let left = |i: usize| x[(i + x.len() - 1) % x.len()];
    (0..x.len()).map(|i| (0.8 * x[i] + 0.3 * left(i) + wave).tanh()).collect()
}

fn off(wanted: &[f32], found: &[f32]) -> f32 {
    crate::testing::errors(wanted, found).0
}

#[test]
fn states_equal_diffusers() {
    let golden = golden();
    let mut worst = std::collections::BTreeMap::<String, f32>::new();
    for Run { case, times, sigmas, states } in &golden.runs {
        let text = |key: &str| case[key].as_str().unwrap();
        let kind: SamplerKind = text("sampler").parse().unwrap();
        let spacing: Spacing = text("spacing").parse().unwrap();
        let prediction = match text("prediction") {
            "epsilon" => Prediction::Epsilon,
            "velocity" => Prediction::Velocity,
            _ => Prediction::Sample,
        };
        let schedule = match case["zero_terminal"].as_bool().unwrap() {
            true => Schedule::zero_terminal(),
            false => Schedule::default(),
        };
        let count = case["steps"].as_u64().unwrap() as usize;
        let all = spacing.steps(kind, count, &schedule).unwrap();
        let steps = &all[start(count, case["strength"].as_f64().unwrap()).unwrap()..];

        assert_eq!(steps.len(), times.len(), "{case}");
        for ((step, time), pair) in steps.iter().zip(times).zip(sigmas.windows(2)) {
            assert!((step.time - time).abs() < 2e-3, "{case}: time {} is not {time}", step.time);
            for (found, wanted) in [(step.from, pair[0]), (step.to, pair[1])] {
                assert!((found as f32 - wanted).abs() <= 1e-6 * wanted, "{case}: sigma {found} is not {wanted}");
            }
        }

        let mut sampler = kind.sampler(&schedule, case["randomness"].as_f64()).unwrap();
        let mut x: Vec<f32> = golden.picture.clone();
        x.iter_mut().zip(&golden.noise).for_each(|(x, noise)| *x += steps[0].from as f32 * noise);
        assert!(off(&states[0], &x) < 1e-6, "{case}");
        for (step, wanted) in steps.iter().zip(&states[1..]) {
            let scale = input_scale(step.from);
            let shown: Vec<f32> = x.iter().map(|x| x * scale).collect();
            let mut output = network(&shown, step.time);
            prediction.denoised(&x, &mut output, step.from).unwrap();
            let mut draws = 0;
            let mut noise = |draw: u32, into: &mut [f32]| {
                assert_eq!(draw, draws);
                draws += 1;
                into.copy_from_slice(&golden.drawn[step.index as usize]);
            };
            sampler.step(&mut x, &output, step, &mut noise).unwrap();
            assert!(draws <= sampler.draws());
            let error = off(wanted, &x);
            assert!(error < MOST, "{case}, step {}: {error}", step.index);
            let most = worst.entry(kind.name().into()).or_default();
            *most = most.max(error);
        }
    }
    println!("largest errors: {worst:?}");
    assert_eq!(worst.len(), SamplerKind::NAMES.len(), "a sampler is not in the golden file");
}

/// Noise that is the same for a step whoever asks.
fn some_noise(step: &Step) -> impl FnMut(u32, &mut [f32]) + use<> {
    let index = step.index;
    move |draw, into| {
        for (value, i) in into.iter_mut().zip(0..) {
            *value = crate::noise::gaussian(3, i, draw, 0, index);
        }
    }
}

/// Runs all steps; `change` sees `x` in front of each.
fn run(sampler: &mut dyn Sampler, steps: &[Step], mut change: impl FnMut(&Step, &mut [f32])) -> Vec<f32> {
    let mut x = vec![0.0; 24];
    some_noise(&steps[0])(7, &mut x);
    x.iter_mut().for_each(|x| *x *= steps[0].from as f32);
    for step in steps {
        change(step, &mut x);
        let shown: Vec<f32> = x.iter().map(|x| x * input_scale(step.from)).collect();
        let mut output = network(&shown, step.time);
        Prediction::Epsilon.denoised(&x, &mut output, step.from).unwrap();
        sampler.step(&mut x, &output, step, &mut some_noise(step)).unwrap();
    }
    x
}

#[test]
fn samplers_begin_anew_and_copy_their_state() {
    let schedule = Schedule::default();
    for (name, kind) in SamplerKind::NAMES {
        let steps = kind.spacing().steps(kind, 8, &schedule).unwrap();
        let mut sampler = kind.sampler(&schedule, None).unwrap();
        let first = run(&mut *sampler, &steps, |_, _| {});
        sampler.reset();
        assert_eq!(first, run(&mut *sampler, &steps, |_, _| {}), "{name}");

        // A copy out of the middle goes on like the original.
        sampler.reset();
        run(&mut *sampler, &steps[..4], |_, _| {});
        let mut copy = sampler.boxed();
        let rest = run(&mut *sampler, &steps[4..], |_, _| {});
        assert_eq!(rest, run(&mut *copy, &steps[4..], |_, _| {}), "{name}");
        sampler.reset();
        let anew = run(&mut *sampler, &steps[4..], |_, _| {});
        let remembers =
            matches!(kind, SamplerKind::Dpm2m | SamplerKind::Dpm2mSde | SamplerKind::Dpm3mSde | SamplerKind::UniPc);
        assert_eq!(rest != anew, remembers, "{name}");
    }
}

/// What the caller puts into `x` in front of the last step but one is what comes out where the network leaves it alone: no sampler goes
/// back to an `x` of its own. Differential diffusion depends on it.
#[test]
fn what_the_caller_changes_stays_changed() {
    let schedule = Schedule::default();
    for (name, kind) in SamplerKind::NAMES {
        let steps = kind.spacing().steps(kind, 10, &schedule).unwrap();
        let mut sampler = kind.sampler(&schedule, Some(0.0).filter(|_| matches!(kind, SamplerKind::Tcd))).unwrap();
        let (mut plain, mut raised) = (vec![1.0f32; 8], vec![1.0f32; 8]);
        let mut twin = sampler.boxed();
        for step in &steps[..5] {
            // The same denoised picture for both: what differs is `x` alone.
            let denoised: Vec<f32> = (0..8).map(|i| (i as f32 + step.time).sin()).collect();
            if step.index == 3 {
                raised.iter_mut().for_each(|x| *x += 100.0);
            }
            sampler.step(&mut plain, &denoised, step, &mut some_noise(step)).unwrap();
            twin.step(&mut raised, &denoised, step, &mut some_noise(step)).unwrap();
        }
        let raise = raised[0] - plain[0];
        let kept = match kind {
            SamplerKind::Lcm => 0.0,
            _ => steps[4].to / steps[3].from,
        };
        // Stochastic samplers keep less, as they replace noise; all keep what the ratio of the noises says, or its square.
        let stochastic = matches!(kind, SamplerKind::EulerAncestral | SamplerKind::Dpm2mSde | SamplerKind::Dpm3mSde);
        let wanted = 100.0 * if stochastic { kept * kept } else { kept };
        assert!((f64::from(raise) - wanted).abs() < 1e-2, "{name}: {raise} is not {wanted}");
    }
}

#[test]
fn times_and_sigmas_are_inverse() {
    for schedule in [Schedule::default(), Schedule::zero_terminal()] {
        for i in 0..=9990 {
            let time = f64::from(i) / 10.0;
            assert!((schedule.time(schedule.sigma(time)) - time).abs() < 1e-9, "{time}");
        }
        assert_eq!((schedule.time(0.0), schedule.time(1e9)), (0.0, 999.0));
        assert_eq!((schedule.sigma(-5.0), schedule.sigma(1e9)), (schedule.smallest(), schedule.largest()));
    }
    assert!((Schedule::default().largest() - 14.6146).abs() < 1e-3);
    assert!((Schedule::zero_terminal().largest() - 4096.0).abs() < 1e-3);
}

#[test]
fn all_spacings_go_down_for_all_samplers() {
    let schedule = Schedule::default();
    for (name, kind) in SamplerKind::NAMES {
        for (place, spacing) in Spacing::NAMES {
            for count in [1, 2, 7, 50] {
                let steps = spacing.steps(kind, count, &schedule).unwrap();
                assert_eq!(steps.len(), count);
                for (i, step) in steps.iter().enumerate() {
                    let what = format!("{name}, {place}, {count}: {step:?}");
                    assert!(step.index as usize == i && step.from > step.to && step.to >= 0.0, "{what}");
                    assert!((0.0..=999.0).contains(&step.time), "{what}");
                    assert!(steps.get(i + 1).is_none_or(|next| next.from == step.to && next.time == step.next_time));
                }
                let mut sampler = kind.sampler(&schedule, None).unwrap();
                assert!(run(&mut *sampler, &steps, |_, _| {}).iter().all(|x| x.is_finite()), "{name}, {place}");
            }
            assert_eq!(place.parse(), Ok(spacing));
            assert_eq!(spacing.name(), place);
        }
        assert_eq!(name.parse(), Ok(kind));
        assert_eq!(kind.name(), name);
    }
    let even = Spacing::SgmUniform.steps(SamplerKind::Euler, 4, &schedule).unwrap();
    let times: Vec<f32> = even.iter().map(|step| step.time).collect();
    assert_eq!(times, [999.0, 749.25, 499.5, 249.75]);
    let few = Spacing::Trailing.steps(SamplerKind::Euler, 4, &schedule).unwrap();
    assert_eq!(few.iter().map(|step| step.time).collect::<Vec<_>>(), [999.0, 749.0, 499.0, 249.0]);
}

#[test]
fn strengths_choose_the_last_steps() {
    for (steps, strength, first) in [(18, 0.35, 12), (10, 1.0, 0), (10, 0.0, 10), (10, 0.7, 3), (50, 0.01, 50)] {
        assert_eq!(start(steps, strength), Ok(first), "{steps}, {strength}");
    }
    for strength in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(start(10, strength), Err(Error::Setting { name: "strength", .. })));
    }
}

#[test]
fn wrong_settings_are_errors() {
    let schedule = Schedule::default();
    for count in [0, 1000] {
        let steps = Spacing::Karras.steps(SamplerKind::Euler, count, &schedule);
        assert!(matches!(steps, Err(Error::Setting { name: "steps", .. })));
    }
    assert!(Spacing::Distilled.steps(SamplerKind::Lcm, 51, &schedule).is_err());
    let sampler = |kind: SamplerKind, randomness| kind.sampler(&schedule, randomness).err();
    for (kind, randomness) in [(SamplerKind::Ddim, 1.5), (SamplerKind::Tcd, f64::NAN), (SamplerKind::Euler, 0.0)] {
        assert!(matches!(sampler(kind, Some(randomness)), Some(Error::Setting { name: "randomness", .. })));
    }
    assert!(matches!("dpm".parse::<SamplerKind>(), Err(Error::Setting { name: "sampler", .. })));
    assert!(matches!("".parse::<Spacing>(), Err(Error::Setting { name: "spacing", .. })));
    assert_eq!("v_prediction".parse(), Ok(Prediction::Velocity));
    assert!(matches!("v".parse::<Prediction>(), Err(Error::Setting { name: "prediction", .. })));

    let step = Spacing::Karras.steps(SamplerKind::Dpm2m, 3, &schedule).unwrap()[1];
    for (name, kind) in SamplerKind::NAMES {
        let mut sampler = kind.sampler(&schedule, None).unwrap();
        let mut noise = some_noise(&step);
        assert!(sampler.step(&mut [0.0; 2], &[0.0; 3], &step, &mut noise).is_err(), "{name}");
    }
    let mut multistep = SamplerKind::UniPc.sampler(&schedule, None).unwrap();
    multistep.step(&mut [0.0; 2], &[0.0; 2], &step, &mut some_noise(&step)).unwrap();
    assert!(multistep.step(&mut [0.0; 3], &[0.0; 3], &step, &mut some_noise(&step)).is_err());
    assert!(Prediction::Epsilon.denoised(&[0.0; 2], &mut [0.0; 3], 1.0).is_err());
}
