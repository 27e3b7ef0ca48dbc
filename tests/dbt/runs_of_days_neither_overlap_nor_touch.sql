-- The runs of days of a child neither overlap nor touch, and go from the first start to the last end of its spells with
-- days (definitions, section 3).

{%- set runs = [
    ('int_open_referral_spans', 'int_referral_spells', 'referral_date'),
    ('int_cp_plan_spans', 'int_cp_plan_spells', 'plan_start'),
] %}

with
spans as (

    {% for spans, spells, started in runs %}
    select
        '{{ spans }}' as runs_of,
        child_id,
        span_start,
        span_end,
        lag(span_end) over (partition by child_id order by span_start) as previous_end
    from {{ ref(spans) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

outer_bounds_of_spans as (

    select
        runs_of,
        child_id,
        min(span_start) as first_day,
        max(span_end) as last_end
    from spans
    group by runs_of, child_id

),

outer_bounds_of_spells as (

    {% for spans, spells, started in runs %}
    select
        '{{ spans }}' as runs_of,
        child_id,
        min({{ started }}) as first_day,
        max(observed_until) as last_end
    from {{ ref(spells) }}
    where observed_until > {{ started }}
    group by child_id
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    runs_of,
    child_id,
    'a run that overlaps or touches the one before' as broken_rule
from spans
where span_start <= previous_end

union all

select
    coalesce(outer_bounds_of_spans.runs_of, outer_bounds_of_spells.runs_of) as runs_of,
    coalesce(outer_bounds_of_spans.child_id, outer_bounds_of_spells.child_id) as child_id,
    'runs that start or end elsewhere than the spells' as broken_rule
from outer_bounds_of_spans
full outer join outer_bounds_of_spells
    on
        outer_bounds_of_spans.runs_of = outer_bounds_of_spells.runs_of
        and outer_bounds_of_spans.child_id = outer_bounds_of_spells.child_id
where
    outer_bounds_of_spans.child_id is null
    or outer_bounds_of_spells.child_id is null
    or outer_bounds_of_spans.first_day <> outer_bounds_of_spells.first_day
    or outer_bounds_of_spans.last_end <> outer_bounds_of_spells.last_end
