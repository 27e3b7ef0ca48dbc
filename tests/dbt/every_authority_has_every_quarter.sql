-- The authority-quarter table has a row for every outcome, authority and quarter of the trial period, and its
-- values add up to those of the trial outcomes (definitions, section 7).

with
outcomes as (

    select * from {{ ref('outcomes') }}
    where status <> 'not_evaluated'

),

authorities as (

    select * from {{ ref('local_authorities') }}

),

quarters as (

    select * from {{ ref('int_trial_quarters') }}
    where quarter_no > 0

),

la_quarter_outcomes as (

    select * from {{ ref('int_la_quarter_outcomes') }}

),

trial_outcomes as (

    select * from {{ ref('int_trial_outcomes') }}

),

rows_expected as (

    select
        outcomes.programme,
        outcomes.outcome,
        count(*) as n_rows_expected
    from outcomes
    inner join quarters on outcomes.programme = quarters.programme
    cross join authorities
    group by outcomes.programme, outcomes.outcome

),

rows_found as (

    select
        programme,
        outcome,
        count(*) as n_rows,
        sum(n_values) as n_values,
        sum(sum_value) as sum_value
    from la_quarter_outcomes
    group by programme, outcome

),

values_found as (

    select
        programme,
        outcome,
        count(value) as n_values,
        sum(cast(value as decimal(12, 6))) as sum_value
    from trial_outcomes
    group by programme, outcome

)

select
    rows_expected.programme,
    rows_expected.outcome,
    rows_expected.n_rows_expected,
    rows_found.n_rows
from rows_expected
left join rows_found
    on
        rows_expected.programme = rows_found.programme
        and rows_expected.outcome = rows_found.outcome
left join values_found
    on
        rows_expected.programme = values_found.programme
        and rows_expected.outcome = values_found.outcome
where
    coalesce(rows_found.n_rows, 0) <> rows_expected.n_rows_expected
    or coalesce(rows_found.n_values, 0) <> coalesce(values_found.n_values, 0)
    or coalesce(rows_found.sum_value, 0) <> coalesce(values_found.sum_value, 0)
