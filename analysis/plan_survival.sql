-- Survival of child protection plans by authority: the share still running so many months after their start (Kaplan
-- and Meier). A plan open at the end of the data is at risk until the end of the last return that carries it and
-- leaves as censored. Plans that began before the authority's first return are left out: only those that lasted are
-- seen of them. Months are completed calendar months; a plan that ends in its first month leaves at 0.
-- Narrow it with --vars '{la_code: "335"}'.

with
cp_plan_spells as (

    select * from {{ ref('cp_plan_spells') }}

),

first_return_years as (

    select
        la_code,
        min(first_return_year) as first_return_year
    from cp_plan_spells
    group by la_code

),

plans_by_months_run as (

    select
        cp_plan_spells.la_code,
        {{ calendar_months_between('cp_plan_spells.plan_start', 'cp_plan_spells.observed_until') }}
        - case
            when
                cp_plan_spells.observed_until < {{ add_months(
                    'cp_plan_spells.plan_start',
                    calendar_months_between('cp_plan_spells.plan_start', 'cp_plan_spells.observed_until')
                ) }}
                then 1
            else 0
        end as months_run,
        cp_plan_spells.is_open_at_data_end
    from cp_plan_spells
    inner join first_return_years on cp_plan_spells.la_code = first_return_years.la_code
    where
        cp_plan_spells.plan_start >= {{ return_year_start('first_return_years.first_return_year') }}
    {% if var('la_code', none) %}
        and cp_plan_spells.la_code = '{{ var("la_code") }}'
    {% endif %}

),

leaving_by_month as (

    select
        la_code,
        months_run,
        cast(sum(case when is_open_at_data_end then 0 else 1 end) as bigint) as n_ended,
        cast(sum(case when is_open_at_data_end then 1 else 0 end) as bigint) as n_censored
    from plans_by_months_run
    group by la_code, months_run

),

at_risk_by_month as (

    select
        la_code,
        months_run,
        n_ended,
        n_censored,
        -- Plans that leave in this month or later; those censored in it count as at risk when others end.
        cast(
            sum(n_ended + n_censored) over (
                partition by la_code
                order by months_run desc
                rows between unbounded preceding and current row
            ) as bigint
        ) as n_at_risk
    from leaving_by_month

),

log_survival_by_month as (

    select
        la_code,
        months_run,
        n_at_risk,
        n_ended,
        n_censored,
        -- A product over months as a sum of logarithms; a month in which all end has no logarithm and ends the curve.
        sum(case when n_ended < n_at_risk then ln(1.0 - n_ended / cast(n_at_risk as double)) else 0.0 end) over (
            partition by la_code
            order by months_run
            rows between unbounded preceding and current row
        ) as log_survival
    from at_risk_by_month

)

select
    la_code,
    months_run,
    n_at_risk,
    n_ended,
    n_censored,
    case when n_ended = n_at_risk then 0.0 else exp(log_survival) end as share_still_running
from log_survival_by_month
order by la_code, months_run
