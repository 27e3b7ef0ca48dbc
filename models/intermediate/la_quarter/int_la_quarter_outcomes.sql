-- One row per programme, outcome, authority and quarter of the trial period: index events in the sample (a row per
-- school term where the outcome is by term), those fully observed, and the mean of the outcome with its standard
-- error, from exact decimal sums. A quarter without index events has a row of zeros (definitions, section 7).

with
outcomes as (

    select * from {{ ref('outcomes') }}
    where status <> 'not_evaluated'

),

quarters as (

    select * from {{ ref('int_trial_quarters') }}
    where quarter_no > 0

),

authorities as (

    select * from {{ ref('local_authorities') }}

),

trial_outcomes as (

    select * from {{ ref('int_trial_outcomes') }}

),

sums as (

    select
        programme,
        outcome,
        la_code,
        {{ quarter_start('index_date') }} as quarter_start,
        count(*) as n_index_events,
        count(value) as n_children,
        sum(cast(value as decimal(12, 6))) as sum_value,
        sum(cast(value as decimal(12, 6)) * cast(value as decimal(12, 6))) as sum_of_squares
    from trial_outcomes
    group by programme, outcome, la_code, {{ quarter_start('index_date') }}

),

every_quarter as (

    select
        outcomes.programme,
        outcomes.outcome,
        authorities.la_code,
        quarters.quarter_start,
        cast(coalesce(sums.n_index_events, 0) as bigint) as n_index_events,
        cast(coalesce(sums.n_children, 0) as bigint) as n_children,
        cast(coalesce(sums.sum_value, 0) as decimal(28, 6)) as sum_value,
        cast(sums.sum_of_squares as double) as sum_of_squares
    from outcomes
    inner join quarters on outcomes.programme = quarters.programme
    cross join authorities
    left join sums
        on
            outcomes.programme = sums.programme
            and outcomes.outcome = sums.outcome
            and authorities.la_code = sums.la_code
            and quarters.quarter_start = sums.quarter_start

),

means as (

    select
        *,
        cast(sum_value as double) / nullif(n_children, 0) as mean_value
    from every_quarter

),

variances as (

    select
        *,
        -- Rounding can leave a hair below zero where every value is the same.
        greatest(sum_of_squares - n_children * mean_value * mean_value, 0.0) / nullif(n_children - 1, 0) as variance
    from means

),

final as (

    select
        programme,
        outcome,
        la_code,
        quarter_start,
        n_index_events,
        n_children,
        sum_value,
        mean_value,
        case when n_children > 1 then sqrt(variance / n_children) end as standard_error,
        n_children / cast(nullif(n_index_events, 0) as double) as share_fully_observed
    from variances

)

select * from final
