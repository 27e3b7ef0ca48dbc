-- One row per authority and year that any programme's data touch: children aged 0 to 17 at the middle of the year;
-- years without an estimate are interpolated linearly, ends carried (definitions, section 6). Null for an authority
-- without any.

with
programmes as (

    select * from {{ ref('programmes') }}

),

authorities as (

    select * from {{ ref('local_authorities') }}

),

population as (

    select * from {{ ref('la_child_population') }}

),

span as (

    select
        min({{ financial_year('data_span_start') }}) - 1 as first_year,
        max({{ financial_year('data_span_end') }}) as last_year
    from programmes

),

years as (

    select {{ whole_numbers('first_year', 'last_year') }} as population_year
    from span

),

every_year as (

    select
        authorities.la_code,
        cast(years.population_year as integer) as population_year,
        population.n_children as n_children_seen
    from authorities
    cross join years
    left join population
        on
            authorities.la_code = population.la_code
            and years.population_year = population.year

),

runs_of_missing_years as (

    select
        *,
        count(n_children_seen) over (
            partition by la_code order by population_year rows between unbounded preceding and current row
        ) as n_seen_so_far,
        count(n_children_seen) over (
            partition by la_code order by population_year rows between current row and unbounded following
        ) as n_seen_from_here
    from every_year

),

nearest_seen as (

    select
        la_code,
        population_year,
        n_children_seen,
        {{ nearest_in_run('population_year', 'n_children_seen', 'la_code') }}
    from runs_of_missing_years

),

final as (

    select
        la_code,
        population_year,
        {{ interpolated('population_year', 'n_children_seen') }} as n_children,
        n_children_seen is null as is_filled
    from nearest_seen

)

select * from final
