-- One row per programme, outcome, authority and quarter of the trial period: index events in the sample, those fully
-- observed, and the mean of the outcome with its standard error, from exact decimal sums. Where the outcome is by
-- school term the mean is over children and terms, and the standard error allows for a child's terms being alike. A
-- quarter without index events has a row of zeros (definitions, section 7).

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

index_events as (

    select
        programme,
        outcome,
        la_code,
        index_date,
        sum(cast(value as decimal(12, 6))) as sum_value,
        count(value) as n_values
    from trial_outcomes
    where term > 0
    group by programme, outcome, la_code, index_date, index_event_no

    union all

    select
        programme,
        outcome,
        la_code,
        index_date,
        cast(value as decimal(12, 6)) as sum_value,
        case when value is null then 0 else 1 end as n_values
    from trial_outcomes
    where term = 0

),

sums as (

    select
        programme,
        outcome,
        la_code,
        {{ quarter_start('index_date') }} as quarter_start,
        count(*) as n_index_events,
        sum(case when n_values > 0 then 1 else 0 end) as n_children,
        sum(n_values) as n_values,
        sum(sum_value) as sum_value,
        sum(sum_value * sum_value) as sum_of_squares,
        sum(sum_value * n_values) as sum_of_products,
        sum(n_values * n_values) as sum_of_squared_numbers
    from index_events
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
        cast(coalesce(sums.n_values, 0) as bigint) as n_values,
        cast(coalesce(sums.sum_value, 0) as decimal(28, 6)) as sum_value,
        cast(sums.sum_value as double) / nullif(sums.n_values, 0) as mean_value,
        cast(sums.sum_of_squares as double) as sum_of_squares,
        cast(sums.sum_of_products as double) as sum_of_products,
        cast(sums.sum_of_squared_numbers as double) as sum_of_squared_numbers
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

squared_deviations as (

    -- Of a child's sum from its number of values times the mean; rounding can leave a hair below zero.
    select
        *,
        greatest(
            sum_of_squares
            - mean_value * sum_of_products
            - mean_value * (sum_of_products - mean_value * sum_of_squared_numbers),
            0.0
        ) as squared_deviation
    from every_quarter

),

final as (

    select
        programme,
        outcome,
        la_code,
        quarter_start,
        n_index_events,
        n_children,
        n_values,
        sum_value,
        mean_value,
        case
            when n_children > 1
                then sqrt(squared_deviation * n_children / cast(n_children - 1 as double)) / n_values
        end as standard_error,
        n_children / cast(nullif(n_index_events, 0) as double) as share_fully_observed
    from squared_deviations

)

select * from final
