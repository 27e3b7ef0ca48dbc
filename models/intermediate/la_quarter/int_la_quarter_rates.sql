-- One row per programme, measure, authority and quarter of the trial period: referrals and entries to care per 10,000
-- children, whatever their age, from all spells. If a programme changes who is referred, the outcomes of those referred
-- are selected; this shows it (definitions, section 5). Null where the authority's returns of that quarter are missing.

with
programmes as (

    select * from {{ ref('programmes') }}

),

quarters as (

    select * from {{ ref('int_trial_quarters') }}
    where quarter_no > 0

),

authorities as (

    select * from {{ ref('local_authorities') }}

),

population as (

    select * from {{ ref('int_la_population') }}

),

landed_modules as (

    select * from {{ ref('int_landed_modules') }}

),

referral_spells as (

    select * from {{ ref('int_referral_spells') }}

),

care_periods as (

    select * from {{ ref('int_care_periods') }}
    where not is_left_truncated

),

rate_rule as (

    select parameter_value as rate_per_children
    from {{ ref('parameters') }}
    where programme = '*' and parameter = 'rate_per_children'

),

events_counted as (

    select
        'referrals_per_10000' as measure,
        la_code,
        {{ quarter_start('referral_date') }} as quarter_start,
        count(*) as n_events
    from referral_spells
    group by la_code, {{ quarter_start('referral_date') }}

    union all

    select
        'care_entries_per_10000' as measure,
        la_code,
        {{ quarter_start('care_start') }} as quarter_start,
        count(*) as n_events
    from care_periods
    group by la_code, {{ quarter_start('care_start') }}

),

measures as (

    select
        'referrals_per_10000' as measure,
        'cin' as collection,
        'census' as module

    union all

    select
        'care_entries_per_10000' as measure,
        'ssda903' as collection,
        'episodes' as module

),

every_quarter as (

    select
        programmes.programme,
        measures.measure,
        authorities.la_code,
        quarters.quarter_start,
        landed_modules.la_code is not null as is_observed,
        case when landed_modules.la_code is not null then coalesce(events_counted.n_events, 0) end as n_events,
        population.n_children as n_population,
        population.is_filled as is_population_filled
    from programmes
    inner join quarters on programmes.programme = quarters.programme
    cross join measures
    cross join authorities
    left join landed_modules
        on
            measures.collection = landed_modules.collection
            and measures.module = landed_modules.module
            and authorities.la_code = landed_modules.la_code
            and {{ financial_year('quarters.quarter_start') }} = landed_modules.return_year
    left join events_counted
        on
            measures.measure = events_counted.measure
            and authorities.la_code = events_counted.la_code
            and quarters.quarter_start = events_counted.quarter_start
    left join population
        on
            authorities.la_code = population.la_code
            and {{ financial_year('quarters.quarter_start') }} - 1 = population.population_year

),

final as (

    select
        every_quarter.programme,
        every_quarter.measure,
        every_quarter.la_code,
        every_quarter.quarter_start,
        every_quarter.is_observed,
        cast(every_quarter.n_events as bigint) as n_events,
        every_quarter.n_population,
        coalesce(every_quarter.is_population_filled, true) as is_population_filled,
        every_quarter.n_events * rate_rule.rate_per_children / nullif(every_quarter.n_population, 0) as rate
    from every_quarter
    cross join rate_rule

)

select * from final
